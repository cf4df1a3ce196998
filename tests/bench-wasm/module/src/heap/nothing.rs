//! [`Nothing`]: no allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

/// Every block is the same one: what a module costs in bytes, and work in time, before there is an allocator.
#[repr(align(4096))]
pub struct Nothing(UnsafeCell<[u8; 16 << 10]>);

// SAFETY: what is written into the block is never read.
unsafe impl Sync for Nothing {}

impl Nothing {
    pub const fn new() -> Self {
        Nothing(UnsafeCell::new([0; 16 << 10]))
    }
}

// SAFETY: none of the rules but that the block is big enough, and aligned; the work only writes to blocks, and the host to none.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        self.0.get().cast()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, block: *mut u8, _: Layout, _: usize) -> *mut u8 {
        block
    }
}
