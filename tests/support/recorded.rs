//! A [`SmallHeap`] under the driver, which wants to know what such a heap does not: how long a block is.

use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::NonNull;

use coreheap::{PageSource, SmallHeap};

use crate::subject::Subject;

/// The unit of a block's length.
const GRANULE: usize = 8;

/// A small heap, and the layouts of its live blocks.
pub struct Recorded<'a, S: PageSource> {
    heap: &'a SmallHeap<S>,
    layouts: RefCell<BTreeMap<usize, Layout>>,
}

impl<'a, S: PageSource> Recorded<'a, S> {
    /// A heap without live blocks.
    pub fn new(heap: &'a SmallHeap<S>) -> Self {
        Recorded { heap, layouts: RefCell::default() }
    }

    fn record(&self, block: Option<NonNull<u8>>, layout: Layout) -> Option<NonNull<u8>> {
        block.inspect(|block| {
            self.layouts.borrow_mut().insert(block.addr().get(), layout);
        })
    }
}

// SAFETY: the heap's own promises; the layouts are those of the live blocks.
unsafe impl<S: PageSource> Subject for Recorded<'_, S> {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.record(self.heap.allocate(layout), layout)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.record(self.heap.allocate_zeroed(layout), layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.layouts.borrow_mut().remove(&block.addr().get());
        // SAFETY: the caller's promise.
        unsafe { self.heap.deallocate(block, layout) };
    }

    unsafe fn deallocate_unsized(&self, block: *mut u8) {
        let Some(block) = NonNull::new(block) else { return };
        let layout = self.layouts.borrow()[&block.addr().get()];
        // SAFETY: the caller's promise.
        unsafe { self.deallocate(block, layout) };
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        let moved = unsafe { self.heap.reallocate(block, layout, new_size) }?;
        self.layouts.borrow_mut().remove(&block.addr().get());
        self.record(Some(moved), Layout::from_size_align(new_size, layout.align()).expect("the driver's own layout"))
    }

    fn usable_size(&self, block: *const u8) -> Option<usize> {
        self.layouts.borrow().get(&block.addr()).map(|layout| layout.size().max(1).next_multiple_of(GRANULE))
    }

    fn purge(&self) -> usize {
        0
    }

    fn purge_aged(&self) -> usize {
        0
    }

    fn used(&self) -> usize {
        self.heap.stats().used
    }

    fn assert_valid(&self) {
        self.heap.assert_valid();
        let live: usize = self.layouts.borrow().values().map(|layout| layout.size().max(1).next_multiple_of(GRANULE)).sum();
        let stats = self.heap.stats();
        assert_eq!((stats.used, stats.misuses), (live, 0));
    }
}
