//! The heap, and what JavaScript can see of it.

use coreheap_wasm::{Coreheap, js};
use js_sys::Float64Array;
use wasm_bindgen::prelude::wasm_bindgen;

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

cfg_if::cfg_if! {
    if #[cfg(target_feature = "atomics")] {
        /// The heap report.
        #[wasm_bindgen(js_name = heapReport)]
        pub fn heap_report() -> js_sys::Object {
            js::report(&HEAP.heap().stats())
        }

        /// What lies where in the heap: its pages.
        #[wasm_bindgen(js_name = heapRuns)]
        pub fn heap_runs() -> Float64Array {
            js::runs(HEAP.heap())
        }
    } else {
        /// What lies where in the heap: its blocks.
        #[wasm_bindgen(js_name = heapBlocks)]
        pub fn heap_blocks() -> Float64Array {
            js::blocks(HEAP.heap())
        }
    }
}
