//! coreheap
#![no_std]
#![cfg_attr(feature = "allocator_api", feature(allocator_api))]

mod bitmap;
mod block;
mod core_heap;
mod core_local;
mod geometry;
mod magazine;
mod page;
mod size_class;
mod sync;

cfg_if::cfg_if! {
    if #[cfg(not(loom))] {
        mod arena;
        mod arenas;
        mod global;
        mod heap;
        mod large;
        mod misuse;
        mod page_source;
        mod page_table;
        mod reclaim;
        mod refill;
        mod slices;
        pub mod sources;
        mod stats;

        pub use heap::Heap;
        pub use misuse::Misuse;
        pub use page_source::{PageSource, Region, RegionRequest};
        pub use stats::{ClassStats, Stats};
    }
}

pub use block::Block;
pub use core_heap::{CoreHeap, CoreSlot};
pub use core_local::{CoreLocal, CoreNumber, SingleCore, TryFlag};
pub use geometry::{Compact, Geometry, Server, Tiny};
pub use magazine::Magazine;
pub use size_class::SizeClass;

/// What [`geometry!`] writes out.
#[doc(hidden)]
pub mod __private {
    pub use crate::sync::{AtomicPtr, AtomicUsize};
}

#[cfg(test)]
extern crate std;
