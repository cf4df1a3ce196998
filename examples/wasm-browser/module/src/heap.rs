//! The heap, and what JavaScript can see of it.

use coreheap_wasm::coreheap::{Heap, SingleCore};
use coreheap_wasm::{GrowingMemory, Module, ModuleGeometry, js};
use js_sys::{Float64Array, Object};
use wasm_bindgen::prelude::wasm_bindgen;

#[global_allocator]
static HEAP: Heap<GrowingMemory<Module>, SingleCore, ModuleGeometry> = {
    // SAFETY: a module without atomics has one thread, and nothing interrupts it.
    let cores = unsafe { SingleCore::new() };
    Heap::new(GrowingMemory::new(Module, 1), cores)
};

/// The heap report.
#[wasm_bindgen(js_name = heapReport)]
pub fn heap_report() -> Object {
    js::report(&HEAP.stats())
}

/// What lies where in the heap.
#[wasm_bindgen(js_name = heapRuns)]
pub fn heap_runs() -> Float64Array {
    js::runs(&HEAP)
}
