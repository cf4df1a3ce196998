//! The heap, and what JavaScript can see of it.

use coreheap_wasm::coreheap::Heap;
use coreheap_wasm::{GrowingMemory, Module, ModuleGeometry, js};
use js_sys::{Float64Array, Object};
use wasm_bindgen::prelude::wasm_bindgen;

cfg_if::cfg_if! {
    if #[cfg(target_feature = "atomics")] {
        use coreheap_wasm::WorkerCores as Cores;

        // What `coreheap_wasm::Coreheap` is for workers.
        const fn cores() -> Cores {
            Cores::new()
        }
    } else {
        use coreheap_wasm::coreheap::SingleCore as Cores;

        // The same for one thread; `coreheap_wasm::Coreheap` is of another kind there, without pages that could be drawn.
        const fn cores() -> Cores {
            // SAFETY: a module without atomics has one thread, and nothing interrupts it.
            unsafe { Cores::new() }
        }
    }
}

#[global_allocator]
static HEAP: Heap<GrowingMemory<Module>, Cores, ModuleGeometry> = Heap::new(GrowingMemory::new(Module, 1), cores());

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
