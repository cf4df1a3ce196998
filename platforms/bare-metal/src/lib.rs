//! The [coreheap] allocator on bare metal: firmware, kernels, consoles.
//!
//! Its memory is part of the static, so there is nothing to initialise:
//!
//! ```
//! #[global_allocator]
//! static HEAP: coreheap_bare::Coreheap<{ 256 * 1024 }> = coreheap_bare::Coreheap::new();
//!
//! # fn main() {
//! let names: Vec<String> = (0..100).map(|number| format!("task {number}")).collect();
//! assert_eq!(names[42], "task 42");
//! assert!(HEAP.heap().stats().used > 100);
//! # }
//! ```
//!
//! *Role*: the port for systems without an operating system. It adds to the core crate where memory comes from and how contexts are kept
//! apart:
//!
//! | memory | source |
//! |---|---|
//! | a number of bytes inside the static | [`StaticMemory`], which is what [`Coreheap`] has |
//! | regions that are known when the program is built | [`coreheap::sources::Regions`] |
//! | regions that are found out, and added, later | [`AddedRegions`] |
//! | frames of a kernel's own, mapped where and while they are needed | [`Window`] over your [`Frames`] |
//!
//! # Interrupts
//!
//! | type | who may allocate and free | cost |
//! |---|---|---|
//! | [`Coreheap`] | any context: the main program, and interrupts at any moment | nothing is masked where the target has compare-and-swap |
//! | [`ExclusiveHeap`] | the main program; an interrupt that comes in between panics | a flag |
//! | `ListHeap`, with the feature `linked_list_allocator` | the same; for less than 2 KiB | a flag |
//! | `MaskedHeap`, with the feature `critical-section` | any context | a call is masked: 50 instructions, or up to 1,200 |
//! | [`MixedHeap`] | any context; several [`Kind`]s of memory | as [`Coreheap`] |
//! | [`CoresHeap`] | any context on any core | magazines for each core, by your [`CoreNumber`] |
//!
//! Targets without compare-and-swap (`thumbv6m`, `thumbv4t`, `riscv32i`) need the feature `critical-section` for all but [`ExclusiveHeap`],
//! and an implementation of that crate's functions. Interrupts are then masked for one load and one store at a time.

#![no_std]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

pub use coreheap;

mod heap;
#[cfg(feature = "linked_list_allocator")]
mod list;
mod memory;
mod regions;
mod window;

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
mod cores;
#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
mod kinds;

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
pub use coreheap::CoreNumber;
#[cfg(feature = "critical-section")]
pub use cores::MaskedCore;
#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
pub use cores::{CoresHeap, Pinned};
pub use heap::{BareHeap, Coreheap, ExclusiveHeap};
#[cfg(feature = "critical-section")]
pub use heap::{Masked, MaskedHeap};
#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
pub use kinds::{Kind, Memory, MixedHeap};
#[cfg(feature = "linked_list_allocator")]
pub use list::{List, ListHeap};
pub use memory::StaticMemory;
pub use regions::AddedRegions;
pub use window::{Frames, Window};
