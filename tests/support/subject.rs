//! What the driver drives: anything that allocates.

use core::alloc::Layout;
use core::ptr::NonNull;

use coreheap::{CoreLocal, DenseHeap, Exclusion, Geometry, Heap, PageSource};

/// An allocator under test. Implemented for every [`Heap`] and [`DenseHeap`].
///
/// # Safety
/// Blocks are what they claim to be; the methods' contracts are those of the heap's methods of the same names.
pub unsafe trait Subject {
    /// Hands out a block, or refuses.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Hands out a block of zeroes, or refuses.
    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    /// The block is live, and `layout` fits it.
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout);

    /// Takes a block back whose layout is not known; null does nothing.
    ///
    /// # Safety
    /// The block is live, or null.
    unsafe fn deallocate_unsized(&self, block: *mut u8);

    /// Changes a block's size, keeping its contents; if it refuses, the block stays as it was.
    ///
    /// # Safety
    /// The block is live, and `layout` fits it.
    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>>;

    /// How many bytes of this block may be used; `None` for what is no block.
    fn usable_size(&self, block: *const u8) -> Option<usize>;

    /// Gives all idle memory back; returns how many bytes.
    fn purge(&self) -> usize;

    /// Gives memory back that has been idle for a while; returns how many bytes.
    fn purge_aged(&self) -> usize;

    /// Bytes in live blocks.
    fn used(&self) -> usize;

    /// Checks every invariant; nobody else uses the allocator.
    fn assert_valid(&self);
}

// SAFETY: the heap's own promises.
unsafe impl<S: PageSource, C: CoreLocal, G: Geometry> Subject for Heap<S, C, G> {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::allocate(self, layout)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::allocate_zeroed(self, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Heap::deallocate(self, block, layout) }
    }

    unsafe fn deallocate_unsized(&self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { Heap::deallocate_unsized(self, block) }
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        unsafe { Heap::reallocate(self, block, layout, new_size) }
    }

    fn usable_size(&self, block: *const u8) -> Option<usize> {
        Heap::usable_size(self, block)
    }

    fn purge(&self) -> usize {
        Heap::purge(self)
    }

    fn purge_aged(&self) -> usize {
        Heap::purge_aged(self)
    }

    fn used(&self) -> usize {
        self.stats().used
    }

    fn assert_valid(&self) {
        Heap::assert_valid(self);
    }
}

// SAFETY: the heap's own promises.
unsafe impl<S: PageSource, X: Exclusion, const READY: usize> Subject for DenseHeap<S, X, READY> {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        DenseHeap::allocate(self, layout)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        DenseHeap::allocate_zeroed(self, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { DenseHeap::deallocate(self, block, layout) }
    }

    unsafe fn deallocate_unsized(&self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { DenseHeap::deallocate_unsized(self, block) }
    }

    unsafe fn reallocate(&self, block: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        unsafe { DenseHeap::reallocate(self, block, layout, new_size) }
    }

    fn usable_size(&self, block: *const u8) -> Option<usize> {
        // SAFETY: the driver asks for live blocks.
        self.contains(block).then(|| unsafe { DenseHeap::usable_size(self, NonNull::new_unchecked(block.cast_mut())) })
    }

    fn purge(&self) -> usize {
        DenseHeap::purge(self)
    }

    fn purge_aged(&self) -> usize {
        0
    }

    fn used(&self) -> usize {
        self.stats().used
    }

    fn assert_valid(&self) {
        DenseHeap::assert_valid(self);
    }
}
