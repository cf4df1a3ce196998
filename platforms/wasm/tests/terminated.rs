//! A worker that is terminated while it looks for spare memory: what it had in hand is lost, and nothing else.

#![cfg(not(target_family = "wasm"))]

#[allow(dead_code)] // This test needs a part of it.
mod simulated;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use coreheap_wasm::coreheap::{PageSource, RegionRequest};
use coreheap_wasm::{GrowingMemory, LinearMemory, PAGE_SIZE};
use simulated::Simulated;

/// A memory at which a worker ends that asks it how long it is.
struct Deadly {
    memory: Simulated,
    is_deadly: AtomicBool,
}

// SAFETY: the memory's own promises.
unsafe impl LinearMemory for Deadly {
    fn grow(&self, pages: usize) -> Option<usize> {
        self.memory.grow(pages)
    }

    fn pages(&self) -> usize {
        assert!(!self.is_deadly.load(Ordering::Relaxed), "terminated");
        self.memory.pages()
    }

    fn page(&self, index: usize) -> *mut u8 {
        self.memory.page(index)
    }
}

#[test]
fn a_terminated_worker_loses_one_piece() {
    let request = |size| RegionRequest { min_size: size, preferred_size: size, preferred_align: 1, is_for_one_block: false };
    let memory = Deadly { memory: Simulated::with_strangers(100, 2), is_deadly: AtomicBool::new(false) };
    let source = GrowingMemory::new(memory, 1);
    // Each time a stranger comes at the moment of the second call, and what is got lies elsewhere.
    const PIECES: usize = 6;
    for size in (2..).take(PIECES) {
        let region = source.reserve(request(size * PAGE_SIZE - 1)).expect("room");
        // SAFETY: the source's region.
        assert_eq!(unsafe { source.grow(region, (size - 1) * PAGE_SIZE, (size - 1) * PAGE_SIZE) }, 0);
        // Behind it comes another: it cannot grow.
        source.memory().memory.grow_by_a_stranger();
    }
    source.memory().is_deadly.store(true, Ordering::Relaxed);
    let end = catch_unwind(AssertUnwindSafe(|| source.reserve(request(50 * PAGE_SIZE))));
    assert!(end.is_err(), "it looks which piece lies at the end");
    source.memory().is_deadly.store(false, Ordering::Relaxed);
    let calls = source.memory().memory.calls();
    let left = std::iter::from_fn(|| source.reserve(request(1))).take_while(|_| source.memory().memory.calls() == calls).count();
    assert_eq!(left, PIECES - 1);
}
