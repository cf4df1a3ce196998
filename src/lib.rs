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
//! | how big slices, pages, classes and magazines are | [`Geometry`] | [`Server`], [`AlignedServer`], [`Compact`], [`Tiny`], [`geometry!`] |
//!
//! # Which heap
//!
//! Where pages are too much there is the [`EngineHeap`], in three kinds. All of them have the same interface, and take memory from
//! any source that needs no commit.
//!
//! | heap | memory | who may call | a free names | kept for a block |
//! |---|---|---|---|---|
//! | [`Heap`] | some 100 KiB and more | any context on many cores, as its [`CoreLocal`] says | the layout, or nothing | one bit in a page header |
//! | [`SmallHeap`] | 1 KiB to some MiB | any context, interrupts at any moment; nothing is masked | the layout | one bit for each 8 bytes |
//! | [`HeaderlessHeap`] | 1 KiB and more, regions of up to 128 MiB | one context at a time; another one that comes in between panics or waits, as the [`Exclusion`] says | the layout | nothing |
//! | [`DenseHeap`] | 1 KiB and more | as a `HeaderlessHeap` | the layout, or nothing | one word |
//!
//! # How it works
//!
//! Stacks of ready blocks, over two levels of one idea, claiming bits in a bitmap, over a page source:
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
//! **The first allocation** of a heap with magazines, file by file. Most later ones end at step 3; where the magazine is empty, they go on to 4 and 7.
//!
//! 1. `global.rs`: `GlobalAlloc::alloc` calls [`Heap::allocate`] in `heap/mod.rs`.
//! 2. `pages/geometry.rs` and `base/size_class.rs`: size and alignment become a size class. (None: a large block, `heap/large.rs`; there may be one
//!    that waits for such a request, `heap/waiting.rs`.)
//! 3. `cores/core_local.rs`: pop from this core's magazine (`cores/magazine.rs`). There is no core heap yet, so there is nothing to pop:
//! 4. `heap/refill.rs` needs memory for a core heap (`cores/core_heap.rs`), and then a page of the class: the current one, a listed one, a fresh one.
//! 5. `pages/arenas.rs` has no arena, so it asks the [`PageSource`] for a region, with nothing held (`source/asking.rs`); `pages/arena.rs` lays its
//!    tables at the front, and `pages/arena_map.rs` finds it by address from then on.
//! 6. `pages/arena.rs` makes a page: `pages/slices.rs` claims a run of slices in a bitmap (`base/bitmap.rs`) and has the source commit it;
//!    `pages/page_table.rs` gives it a header; `pages/page.rs` opens it. It becomes this core's current page.
//! 7. Now we climb up again: `heap/refill.rs` takes up to a word of blocks from the page's bitmap (`Page::take` in `pages/page.rs`), keeps the lowest,
//!    pushes the others into the magazine, and `heap/mod.rs` turns the [`Block`](port::Block)'s address into a pointer.
//!
//! **The first free**: `Heap::deallocate` in `heap/mod.rs` finds the class by the layout, and pushes the block (`cores/core_local.rs`, `cores/magazine.rs`).
//! If the magazine is full, `heap/refill.rs` gives the block and the newest of the magazine, at most half of them, back to their pages: `pages/arena_map.rs` and
//! `pages/page_table.rs` find the page of an address, and `Page::give` in `pages/page.rs` sets the bits of a word by one atomic operation. A page that is empty then is retired at once, unless a core takes
//! its blocks from it: its slices are free for any class. Slices that stay free for a while are decommitted (`heap/reclaim.rs`);
//! a long run is decommitted at once (`pages/slices.rs`). In some geometries a large block waits in a magazine before it becomes free slices
//! (`heap/waiting.rs`).
//!
//! **Who waits for whom**: there is no lock in this crate, and no wait without a bound. A magazine that is busy (an interrupt, a signal
//! handler, another thread on the same core) is passed by, and the page bitmaps serve. Who takes a lease away ([`Leased`]) looks a bounded
//! number of times whether the pop or push that may be running has ended, or goes without. Contexts that run out of memory together look
//! for a bounded time whether the others have returned from the page source. Who finds nothing free while others have free memory in hand, on its way
//! from one place to another, waits for a bounded time ([`CoreLocal::wait_for`]) until they have put it back.
//!
//! **Wrong pointers**: see [`Misuse`]. A debug build checks every free against the page table.
//!
//! # The folders, bottom first
//!
//! A folder imports only from those before it in this list; a test sees to it. Each folder's `mod.rs` names its files.
//!
//! | folder | what it is |
//! |---|---|
//! | `base` | atomics, bits, sizes, blocks |
//! | `source` | where memory comes from |
//! | `small` | the heaps without pages |
//! | `pages` | memory in slices and pages, and which of their blocks are free |
//! | `cores` | what a core has for itself, and how a context is alone with it |
//! | `heap` | the heap of all that |
//! | `global` | `GlobalAlloc` and `Allocator` for every heap |
//! | `port` | what ports need of the inside |
//!
//! # Words
//!
//! - **context**: whatever runs and may call: a thread on a core, an interrupt, a signal handler. **port**: a crate that says how a platform does it.
//! - **core**: a number that a port gives to contexts. **word**: `usize` bits that change together. **claim** and **release**: clear and set bits of a bitmap.
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
//! Each slice of 4 KiB takes 4 bytes in the page table and 3 bits in bitmaps. A core heap takes 1.5 KiB for each class, all claimed at once, and touched when the core uses the class.
//! Magazines hold back at most 415 blocks and 128 KiB for each class and core. Of large blocks up to 1 MiB they hold back at most 128 KiB of each length, or one block.

#![no_std]
#![cfg_attr(feature = "allocator_api", feature(allocator_api))]
// Models use a part of each file.
#![cfg_attr(loom, allow(dead_code))]

mod base;
mod cores;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod heap;
mod pages;
pub mod port;
mod small;
mod source;

// Models check the files below these, whose state they can make without memory from a page source.
cfg_if::cfg_if! {
    if #[cfg(not(loom))] {
        pub use heap::Heap;
        pub use heap::runs::{Content, Run};
        pub use heap::stats::{ClassStats, Stats};
        pub use small::dense::{BlockState, DenseHeap};
        pub use small::exclusion::{Exclusion, NestedContexts, Unshared};
        #[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
        pub use small::exclusion::OneContext;
        pub use small::headerless::HeaderlessHeap;
        pub use source::sources;
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(loom, target_has_atomic = "ptr", feature = "critical-section"))] {
        pub use cores::beside::{Beside, ContextNumber};
        pub use cores::lease::{Leased, Threads};
        pub use cores::try_flag::{CoreNumber, TryFlag};
    }
}

pub use base::misuse::Misuse;
pub use cores::core_local::{CoreLocal, SingleCore};
pub use pages::geometry::{AlignedServer, Compact, Geometry, Server, Tiny};
pub use small::EngineHeap;
pub use small::granules::SmallHeap;
pub use small::stats::SmallStats;
pub use source::page_source::{PageSource, Region, RegionRequest};

#[cfg(test)]
extern crate std;
