//! A heap that says whether a call is under way, for the report on interrupts. Without that, the heap itself is the global allocator.

use alloc::alloc::{GlobalAlloc, Layout};
use core::ops::Deref;

use coreheap_bare::coreheap::port::sync::{AtomicBool, Ordering::Relaxed};

/// `H`, watched.
pub struct Watched<H> {
    heap: H,
    is_inside: AtomicBool,
}

impl<H> Watched<H> {
    pub const fn new(heap: H) -> Self {
        Watched { heap, is_inside: AtomicBool::new(false) }
    }

    /// Whether a call is under way.
    pub fn is_inside(&self) -> bool {
        self.is_inside.load(Relaxed)
    }

    /// Interrupts leave the note as they found it, so it takes no more than loads and stores.
    #[inline(always)]
    fn call<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.is_inside.load(Relaxed);
        self.is_inside.store(true, Relaxed);
        let result = work();
        self.is_inside.store(before, Relaxed);
        result
    }
}

impl<H> Deref for Watched<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.heap
    }
}

// SAFETY: the heap's.
unsafe impl<H: GlobalAlloc> GlobalAlloc for Watched<H> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.call(|| unsafe { self.heap.alloc(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.call(|| unsafe { self.heap.dealloc(block, layout) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.call(|| unsafe { self.heap.realloc(block, layout, new_size) })
    }
}
