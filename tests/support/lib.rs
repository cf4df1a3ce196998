//! What the test suites of coreheap share.
//!
//! - [`actions`]: the one driver that interprets a stream of actions on any [`subject`]; the stream comes from a seed ([`rng`]),
//!   from bytes ([`fuzz`]) or from a recorded trace.
//! - [`shadow`]: the shadow model: what must be true of each block, checked on every action.
//! - [`sources`]: hostile page sources over memory that the test owns; [`refusals`]: which of their calls say no; [`watched`]:
//!   any source, with its calls checked.
//! - [`recorded`]: as subjects, the heaps that keep nothing for a block.
//! - [`blocks`]: blocks that a test allocates, fills, checks and frees by itself.
//! - [`parcel`]: blocks that contexts pass to each other.
//! - [`cores`]: core numbers that a test chooses; [`geometries`]: how big its heaps are.
//! - [`conformance`]: the suite that every port calls with its own page source.
//!
//! Needs `alloc` only; the feature `std` adds what tests of hosted programs want.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod actions;
mod area;
pub mod blocks;
pub mod conformance;
pub mod cores;
pub mod fuzz;
pub mod geometries;
mod lock;
pub mod parcel;
pub mod recorded;
pub mod refusals;
pub mod rng;
#[cfg(feature = "std")]
pub mod seed;
pub mod shadow;
pub mod sources;
pub mod subject;
pub mod watched;
