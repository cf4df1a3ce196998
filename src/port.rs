//! For ports: what they need of the inside. Nothing here is promised: it follows the needs of the allocator, and may change with any version.
//!
//! Programs name none of it; [`geometry!`](crate::geometry!) does. A port that implements [`CoreLocal`](crate::CoreLocal) pops and pushes a [`Block`] on the [`Magazine`] of a
//! [`CoreHeap`], which it finds in a [`CoreSlot`]; one that can compute the [`SizeClass`] of a request sooner passes that; one that puts a heap
//! into a type of its own forwards `GlobalAlloc` to it; one that has fixed memory hands it out by a [`Once`].

#[cfg(not(loom))]
#[doc(inline)]
pub use super::forward_global_alloc; // Macros lie at the root.
pub use crate::base::block::{Block, Blocks};
pub use crate::base::misuse::no_unwind;
pub use crate::base::size_class::SizeClass;
pub use crate::cores::core_heap::{CoreHeap, CoreSlot};
pub use crate::cores::magazine::Magazine;
#[cfg(any(loom, target_has_atomic = "ptr", feature = "critical-section"))]
pub use crate::cores::try_flag::{Mark, Swap};
pub use crate::pages::geometry::Parameters;
pub use crate::pages::page_entry::{EntryBits, HasEntry, PageEntry};
#[cfg(not(loom))]
pub use crate::source::once::Once;

/// Words that contexts share, with all operations on every target: `core`'s atomics. Where those can only load and store they are this crate's:
/// atomic with the feature `critical-section`; without it only for contexts that keep off each other.
pub mod sync {
    pub use crate::base::sync::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
}
