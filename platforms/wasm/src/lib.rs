//! The [coreheap] allocator in WebAssembly modules.
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: coreheap_wasm::Coreheap = coreheap_wasm::Coreheap::new();
//! ```
//!
//! *Role*: the port for `wasm32` and `wasm64`, for modules of one thread (`build.rs` ends the build for others). It adds to the core crate where memory comes from, and how big
//! everything is:
//!
//! | file | what it is |
//! |---|---|
//! | `linear_memory.rs` | what a module's memory can do: [`LinearMemory`], and `Module`, the one that this program runs in |
//! | `spare.rs` | memory that was got and is not yet a heap's |
//! | `source.rs` | [`GrowingMemory`], the page source over both |
//! | `geometry.rs` | [`ModuleGeometry`]: how big slices, pages and magazines are |
//! | `heap.rs` | `Coreheap` and `SmallCoreheap` |
//! | `js.rs` | heap reports and pictures for JavaScript, with the feature `wasm-bindgen` |
//!
//! On other targets the last two of them, and `Module`, are not there: the rest can be tested on a host, over memory that a test simulates.

#![no_std]
#![deny(missing_docs)]
// Where the instructions are not stable yet, as the target itself.
#![cfg_attr(target_arch = "wasm64", feature(simd_wasm64))]

#[cfg(all(target_family = "wasm", target_feature = "atomics"))]
compile_error!(
    "coreheap-wasm is for modules of one thread: build without the target feature `atomics`, threads are not there yet"
);

pub use coreheap;

mod geometry;
mod linear_memory;
mod source;
mod spare;

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod heap;

        pub use heap::{Coreheap, ModuleHeap, SmallCoreheap};
        pub use linear_memory::Module;
    }
}

#[cfg(all(target_family = "wasm", feature = "wasm-bindgen"))]
pub mod js;

pub use geometry::ModuleGeometry;
pub use linear_memory::{LinearMemory, PAGE_SIZE};
pub use source::GrowingMemory;
