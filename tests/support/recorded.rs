//! Heaps under the driver that do not know what it wants to: how long a block is.

use alloc::collections::BTreeMap;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ptr::NonNull;

use coreheap::{Exclusion, HeaderlessHeap, PageSource, SmallHeap, SmallStats};

use crate::subject::Subject;

/// A heap that keeps nothing for a block: all frees name its layout. Its methods are the heap's of the same names.
#[allow(missing_docs)]
pub trait SizedHeap: GlobalAlloc {
    /// How many bytes a block for so many has.
    fn len_for(size: usize) -> usize;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    /// As the heap's.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// # Safety
    /// As the heap's.
    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>>;

    fn stats(&self) -> SmallStats;

    fn assert_valid(&self);
}

macro_rules! implement_sized_heap {
    ([$($parameters:tt)+] $heap:ty, $len_for:expr) => {
        impl<$($parameters)+> SizedHeap for $heap {
            fn len_for(size: usize) -> usize {
                $len_for(size)
            }

            fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
                <$heap>::allocate(self, layout)
            }

            fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
                <$heap>::allocate_zeroed(self, layout)
            }

            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's promise.
                unsafe { <$heap>::deallocate(self, block, layout) }
            }

            unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
                // SAFETY: the caller's promise.
                unsafe { <$heap>::reallocate(self, block, layout, new_size) }
            }

            fn stats(&self) -> SmallStats {
                <$heap>::stats(self)
            }

            fn assert_valid(&self) {
                <$heap>::assert_valid(self);
            }
        }
    };
}

/// Two words.
const GRANULE: usize = 2 * size_of::<usize>();

implement_sized_heap!([S: PageSource] SmallHeap<S>, |size: usize| size.max(1).next_multiple_of(8));
implement_sized_heap!([S: PageSource, X: Exclusion + Sync] HeaderlessHeap<S, X>, |size: usize| size.next_multiple_of(GRANULE).max(2 * GRANULE));

/// Such a heap, and the layouts of its live blocks.
pub struct Recorded<'a, H> {
    heap: &'a H,
    layouts: RefCell<BTreeMap<usize, Layout>>,
}

impl<'a, H: SizedHeap> Recorded<'a, H> {
    /// A heap without live blocks.
    pub fn new(heap: &'a H) -> Self {
        Recorded { heap, layouts: RefCell::default() }
    }

    fn record(&self, block: Option<NonNull<u8>>, layout: Layout) -> Option<NonNull<u8>> {
        block.inspect(|block| {
            self.layouts.borrow_mut().insert(block.addr().get(), layout);
        })
    }
}

// SAFETY: the heap's own promises; the layouts are those of the live blocks.
unsafe impl<H: SizedHeap> Subject for Recorded<'_, H> {
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
        self.layouts.borrow().get(&block.addr()).map(|layout| H::len_for(layout.size()))
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
        let live: usize = self.layouts.borrow().values().map(|layout| H::len_for(layout.size())).sum();
        let stats = self.heap.stats();
        assert_eq!((stats.used, stats.misuses), (live, 0));
    }
}
