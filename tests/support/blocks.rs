//! Blocks that a test allocates, fills, checks and frees by itself.

use core::alloc::Layout;
use core::ptr::NonNull;

use coreheap::{CoreLocal, Geometry, Heap, PageSource};

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

/// Checks what [`allocate`] wrote, and frees the block.
pub fn free<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: a live block of this size.
    unsafe {
        assert!((0..size).step_by(7).all(|at| block.add(at).read() == byte), "the block was overwritten");
        heap.deallocate(block, layout(size));
    }
}
