//! Blocks that a test allocates, fills, checks and frees by itself.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use coreheap::{CoreLocal, Geometry, Heap, PageSource};

use crate::rng::Rng;

/// `size` bytes, aligned to 8.
pub fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("the test's own sizes are sensible")
}

/// A block of `size` bytes, all of them `byte`; the heap must have it.
pub fn allocate<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, size: usize, byte: u8) -> NonNull<u8> {
    let block = heap.allocate(layout(size)).unwrap_or_else(|| panic!("{size} bytes"));
    // SAFETY: a block of this size.
    unsafe { block.write_bytes(byte, size) };
    block
}

/// Whether all of these bytes are `byte`. Compares as much as possible at once, which Miri is grateful for.
///
/// # Safety
/// The bytes are readable and initialised, and nobody writes them meanwhile.
pub unsafe fn holds(block: NonNull<u8>, size: usize, byte: u8) -> bool {
    let same = [byte; 1024];
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
    bytes.chunks(same.len()).all(|chunk| *chunk == same[..chunk.len()])
}

/// Checks what [`allocate`] wrote, and frees the block.
pub fn free<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: a live block of this size.
    unsafe {
        assert!(holds(block, size, byte), "the block was overwritten");
        heap.deallocate(block, layout(size));
    }
}

/// Allocates blocks of the layouts that `layout` says, none of size 0, until one is refused.
pub fn fill(heap: &impl GlobalAlloc, mut layout: impl FnMut() -> Layout) -> Vec<(NonNull<u8>, Layout)> {
    let block = || {
        let layout = layout();
        // SAFETY: no size is 0.
        Some((NonNull::new(unsafe { heap.alloc(layout) })?, layout))
    };
    core::iter::from_fn(block).collect()
}

/// Frees such blocks in random order.
///
/// # Safety
/// They are live blocks of this heap.
pub unsafe fn free_all(heap: &impl GlobalAlloc, rng: &mut Rng, mut blocks: Vec<(NonNull<u8>, Layout)>) {
    while !blocks.is_empty() {
        let (block, layout) = blocks.swap_remove(rng.below(blocks.len()));
        // SAFETY: the caller's promise.
        unsafe { heap.dealloc(block.as_ptr(), layout) };
    }
}
