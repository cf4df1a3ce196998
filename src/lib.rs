//! **coreheap** is an embeddable memory allocator for WebAssembly modules, kernels, firmware, consoles and hosted programs. Its heaps
//! belong to cores, not to threads; it takes its memory through a trait; and it runs on stable Rust without `std`.
//!
//! A port makes it a single line; on Linux:
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
//! ```
//!
//! This crate is the allocator itself: a [`Heap`] of three parts. Here with memory that the program has, and for one core:
//!
//! ```
//! use core::alloc::Layout;
//! use coreheap::{Compact, Heap, SingleCore, sources::FixedRegion};
//!
//! let memory = Box::leak(vec![0u8; 256 * 1024].into_boxed_slice());
//! // SAFETY: the memory is the heap's for good, and one thread uses it.
//! let (source, cores) = unsafe { (FixedRegion::over(memory.as_mut_ptr(), memory.len()), SingleCore::new()) };
//! let heap: Heap<_, _, Compact> = Heap::new(source, cores);
//!
//! let layout = Layout::new::<[u32; 12]>();
//! let block = heap.allocate(layout).expect("48 of 262,144 bytes");
//! // SAFETY: the block came from this heap with this layout.
//! unsafe { heap.deallocate(block, layout) };
//! ```
//!
//! | what varies | who says it | ready made |
//! |---|---|---|
//! | where memory comes from | [`PageSource`] | [`sources`]; ports |
//! | which core is this, and how is a context alone on its magazines | [`CoreLocal`] | [`SingleCore`], [`TryFlag`], [`Beside`], [`Leased`]; ports |
//! | how big slices, pages, classes and magazines are | [`Geometry`] | [`Server`], [`Compact`], [`Tiny`], [`geometry!`] |
//!
//! Where pages are too much there are three other heaps, without size classes, pages and cores: a [`SmallHeap`], runs of granules in a bitmap, for
//! any context; and for one context at a time a [`HeaderlessHeap`], which keeps nothing for a block, and a [`DenseHeap`], blocks side by side behind a
//! word each.
//!
//! # How it works
//!
//! Three levels of one idea, claiming bits in a bitmap, under a stack of ready blocks:
//!
//! ```text
//!            core 0                    core 1
//!   ┌──────────────────────┐  ┌──────────────────────┐
//!   │ magazines, by class  │  │ magazines, by class  │   a few ready blocks each: pop, push
//!   └─────┬──────────▲─────┘  └─────┬──────────▲─────┘
//!    refill a word   flush a word   │          │         one atomic operation for up to 64 blocks
//!   ┌─────▼──────────┴──────────────▼──────────┴─────┐
//!   │ pages: blocks of one class, one bit for each   │   the bits lie apart from the blocks
//!   └─────┬──────────▲───────────────────────────────┘
//!      claim a run   retire
//!   ┌─────▼──────────┴───────────────────────────────┐
//!   │ arenas: slices, one bit for each               │   large blocks are runs of slices
//!   └─────┬──────────▲───────────────────────────────┘
//!     reserve, commit   decommit, release
//!   ┌─────▼──────────┴───────────────────────────────┐
//!   │ page source: mmap, memory.grow, a static array │
//!   └────────────────────────────────────────────────┘
//! ```
//!
//! **The first allocation**, file by file. Later ones end at step 3.
//!
//! 1. `global.rs`: `GlobalAlloc::alloc` calls [`Heap::allocate`] in `heap.rs`.
//! 2. `size_class.rs`: size and alignment become a size class, from a table. (None: a large block, `large.rs`.)
//! 3. `core_local.rs`: pop from this core's `magazine.rs`. There is none yet:
//! 4. `refill.rs` makes the core heap (`core_heap.rs`) and looks for a page of the class: the current one, a listed one, a fresh one.
//! 5. `arenas.rs` has no arena, so it asks the [`PageSource`] for a region, with nothing held; `arena.rs` lays its tables at the front.
//! 6. `slices.rs` claims a run of slices in a `bitmap.rs` and has the source commit it; `page_table.rs` gives it a header; `page.rs` opens it.
//! 7. Now we climb up again: `refill.rs` takes up to 64 blocks from one word of the page's bitmap, keeps the lowest, pushes the others
//!    into the magazine, and the heap turns the [`Block`]'s address into a pointer.
//!
//! **The first free**: the layout gives the class, the block is pushed. A full magazine is flushed (`refill.rs`): its newest blocks,
//! at most half of them, are grouped by word and given back, one atomic operation each. A page that is empty then is retired at once, unless a core takes
//! its blocks from it: its slices are free for any class. Slices that stay free for a while are decommitted (`reclaim.rs`).
//!
//! **Who waits for whom**: there is no lock in this crate, and no wait without a bound. A magazine that is busy (an interrupt, a signal
//! handler, another thread on the same core) is passed by, and the page bitmaps serve. Who takes a lease away ([`Leased`]) looks a bounded
//! number of times whether the pop or push that may be running has ended, or goes without. Contexts that run out of memory together look
//! for a bounded time whether the others have returned from the page source. Who finds nothing free while others have free memory in hand, on its way
//! from one place to another, waits for a bounded time ([`CoreLocal::wait_for`]) until they have put it back.
//!
//! **Wrong pointers**: see [`Misuse`]. A debug build checks every free against the page table.
//!
//! # The files, bottom first
//!
//! A file imports only from those before it in this list; a test sees to it.
//!
//! | file | what it is |
//! |---|---|
//! | `sync.rs` | atomics: `core`'s, or loom's |
//! | `inside.rs` | whether a context is inside, where one at a time may be |
//! | `events.rs` | the slow paths, for a log |
//! | `size_class.rs` | which block size serves a request |
//! | `block.rs` | a block that a context owns |
//! | `misuse.rs` | what a program can do wrong, and the answer |
//! | `batch.rs` | between the bits of a word and its blocks |
//! | `bitmap.rs` | claiming and releasing bits |
//! | `page_source.rs` | the trait that memory comes through |
//! | `newest.rs` | the newest of a heap's regions, and who makes the first |
//! | `asking.rs` | contexts that run out of memory together |
//! | `spare.rs` | room for one region that is of no use yet |
//! | `page_entry.rs` | what a page table says of a slice |
//! | `geometry.rs` | how big everything is |
//! | `magazine.rs` | a core's ready blocks of one class |
//! | `page.rs` | page headers: free blocks as bits, listed pages as bits |
//! | `in_hand.rs` | free memory that a context has out for a moment |
//! | `core_heap.rs` | the magazines and current pages of one core |
//! | `core_local.rs` | being alone on a core's magazines |
//! | `try_flag.rs` | the same where other cores, threads or interrupts come in between |
//! | `beside.rs` | the same without being alone |
//! | `lease.rs` | the same by leasing core heaps to threads |
//! | `slices.rs` | free, committed and aged slices of an arena |
//! | `page_table.rs` | from a slice to its page header |
//! | `arena.rs` | one region: slices and page table together |
//! | `arena_map.rs` | from an address to its arena |
//! | `arenas.rs` | all regions |
//! | `region_blocks.rs` | large blocks that have a region each |
//! | `sources.rs` | page sources that need no platform |
//! | `small_stats.rs` | the report of the heaps without pages |
//! | `small_heap.rs` | the heap for memory in KiB, for any context |
//! | `exclusion.rs` | being alone in a heap |
//! | `words.rs` | what heaps keep in blocks that nobody has, and their lists |
//! | `dense_heap.rs` | the heap for contexts that keep off each other |
//! | `headerless_heap.rs` | the same, which keeps nothing for a block |
//! | `heap.rs` | the interface and the fast path |
//! | `shortage.rs` | the last search before null |
//! | `refill.rs` | between magazines and pages |
//! | `large.rs` | large blocks |
//! | `reclaim.rs` | giving memory back |
//! | `stats.rs` | the heap report |
//! | `runs.rs` | what lies where |
//! | `global.rs` | `GlobalAlloc` and `Allocator` |
//!
//! # Words
//!
//! - **block**: what one allocation gets. **size class**: one of the block sizes.
//! - **page**: a run of slices cut into blocks of one size class; the system's pages are **OS pages**.
//! - **large block**: a block that is a run of slices of its own; the biggest are regions of their own.
//! - **slice**: the unit in which an arena hands out memory. **arena**: a region under management. **region**: memory that a source gave.
//! - **core heap**: the magazines and current pages of one core. **magazine**: its ready blocks of one size class.
//! - **refill** and **flush**: move a batch of blocks from a page to a magazine, and back. A page's blocks are **taken** and **given**.
//! - **held**: a page that one context works with, or that one core takes its blocks from. **listed**: one that has room and waits to be held. **retire**: return an empty page.
//! - **commit** and **decommit**: make reserved memory usable, and give up its contents. **purge**: decommit what is free.
//!
//! # What it costs
//!
//! A page header takes 128 bytes on a 64-bit host, for up to 768 blocks: 0.2 % of a page of 64 KiB, 1 % of one of 16-byte blocks (12 KiB).
//! Each slice of 4 KiB takes 4 bytes in the page table and 3 bits in bitmaps. A core heap takes 1.5 KiB for each class that the core uses.
//! Magazines hold back at most 183 blocks and 128 KiB for each class and core.

#![no_std]
#![cfg_attr(feature = "allocator_api", feature(allocator_api))]
// Models use a part of each file.
#![cfg_attr(loom, allow(dead_code))]

mod asking;
mod batch;
mod bitmap;
mod block;
mod core_heap;
mod core_local;
mod events;
mod geometry;
mod in_hand;
mod inside;
mod magazine;
mod misuse;
mod newest;
mod page;
mod page_entry;
mod page_source;
mod page_table;
mod region_blocks;
mod size_class;
mod small_heap;
mod small_stats;
mod spare;
mod sync;

// They need read-modify-writes that no interrupt can come between.
cfg_if::cfg_if! {
    if #[cfg(any(loom, target_has_atomic = "ptr", feature = "critical-section"))] {
        mod beside;
        mod lease;
        mod try_flag;

        pub use beside::{Beside, ContextNumber};
        pub use lease::{Leased, Threads};
        pub use try_flag::{CoreNumber, TryFlag};
    }
}

// Models check the files above, whose state they can make without memory from a page source.
cfg_if::cfg_if! {
    if #[cfg(not(loom))] {
        mod arena;
        mod arena_map;
        mod arenas;
        mod dense_heap;
        mod exclusion;
        mod global;
        mod headerless_heap;
        mod heap;
        mod large;
        mod reclaim;
        mod refill;
        mod runs;
        mod shortage;
        mod slices;
        pub mod sources;
        mod stats;
        mod words;

        pub use dense_heap::{BlockState, DenseHeap};
        pub use exclusion::{Exclusion, NestedContexts, Unshared};
        #[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
        pub use exclusion::OneContext;
        pub use headerless_heap::HeaderlessHeap;
        pub use heap::Heap;
        pub use runs::{Content, Run};
        pub use stats::{ClassStats, Stats};
    }
}

pub use block::{Block, Blocks};
pub use core_heap::{CoreHeap, CoreSlot};
pub use core_local::{CoreLocal, SingleCore};
pub use geometry::{AlignedServer, Compact, Geometry, Server, Tiny};
pub use magazine::Magazine;
pub use misuse::{Misuse, no_unwind};
pub use page_entry::PageEntry;
pub use page_source::{PageSource, Region, RegionRequest};
pub use size_class::SizeClass;
pub use small_heap::SmallHeap;
pub use small_stats::SmallStats;

/// Atomics that have all operations on every target: `core`'s, or this crate's where those can only load and store. For page sources,
/// and for what [`geometry!`] writes out.
pub mod atomic {
    pub use crate::sync::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
}

#[cfg(test)]
extern crate std;
