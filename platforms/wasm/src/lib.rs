//! The [coreheap] allocator in WebAssembly modules.
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: coreheap_wasm::Coreheap = coreheap_wasm::Coreheap::new();
//! ```
//!
//! *Role*: the port for `wasm32` and `wasm64`, for modules of one thread and for workers on one shared memory (`build.rs` tells them apart: the
//! configuration `threads`). It adds to the core crate where memory comes from, how big everything is, and which worker this is:
//!
//! | file | what it is |
//! |---|---|
//! | `linear_memory.rs` | what a module's memory can do: [`LinearMemory`], and `Module`, the one that this program runs in |
//! | `discarding.rs` | [`Discarding`]: a memory with a function that gives up pages |
//! | `spare.rs` | memory that was got and is not yet a heap's |
//! | `growth.rs` | by how much it grows |
//! | `source.rs` | [`GrowingMemory`], the page source over both, for a [`Heap`](coreheap::Heap) |
//! | `whole_pages.rs` | [`WholePages`], the page source for a [`DenseHeap`](coreheap::DenseHeap) |
//! | `geometry.rs` | [`ModuleGeometry`]: how big slices, pages and magazines are |
//! | `heap.rs` | `Coreheap` and `SmallCoreheap` |
//! | `threads.rs` | `Coreheap` for workers |
//! | `js.rs` | heap reports and pictures for JavaScript, with the feature `wasm-bindgen` |
//!
//! On other targets the last three, and `Module`, are not there: the rest can be tested on a host, over memory that a test simulates.

#![no_std]
#![deny(missing_docs)]
// Where the instructions are not stable yet, as the target itself.
#![cfg_attr(target_arch = "wasm64", feature(simd_wasm64))]
#![cfg_attr(all(threads, not(target_os = "wasi")), feature(thread_local))]

#[cfg(all(target_family = "wasm", target_feature = "atomics", not(threads)))]
compile_error!(
    "coreheap-wasm was not told that this module has workers: pass `-Ctarget-feature=+atomics` in cargo's `rustflags`, where its build script sees it"
);

pub use coreheap;

mod discarding;
mod geometry;
mod growth;
mod linear_memory;
mod source;
mod spare;
mod whole_pages;

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod heap;
        #[cfg(threads)]
        mod threads;

        #[cfg(not(threads))]
        pub use heap::Coreheap;
        pub use heap::{ModuleHeap, SmallCoreheap};
        #[cfg(threads)]
        pub use threads::{Coreheap, Worker, WorkerCores};
        pub use linear_memory::Module;
    }
}

#[cfg(all(target_family = "wasm", feature = "wasm-bindgen"))]
pub mod js;

pub use discarding::Discarding;
pub use geometry::ModuleGeometry;
pub use linear_memory::{LinearMemory, PAGE_SIZE};
pub use source::GrowingMemory;
pub use whole_pages::WholePages;
