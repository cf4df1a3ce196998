//! The heaps: one in each kind of memory.

use alloc::alloc::{AllocError, Allocator, GlobalAlloc, Layout};
use core::ptr::NonNull;

use coreheap::Compact;

use crate::watched::{Cells, Watched};

/// Bytes that a cell of the picture stands for.
const EWRAM_CELL: usize = 512;
const IWRAM_CELL: usize = 128;

/// 240 of 256 KiB: the big memory, on a bus of 16 bits. What names no memory is here.
#[global_allocator]
static EWRAM: Watched<{ 480 * EWRAM_CELL }, 480, Compact> = Watched::new();

/// 15 of 32 KiB: the fast memory, on the chip.
#[unsafe(link_section = ".iwram.heap")]
static IWRAM: Watched<{ 120 * IWRAM_CELL }, 120> = Watched::new();

/// Fast memory, for what every frame makes anew: `Vec::new_in(Fast)`.
#[derive(Clone, Copy)]
pub struct Fast;

// SAFETY: the heap's own; every `Fast` means the same one.
unsafe impl Allocator for Fast {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the heap serves size 0 as well.
        let block = NonNull::new(unsafe { IWRAM.alloc(layout) }).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { IWRAM.dealloc(block.as_ptr(), layout) };
    }
}

/// Which parts of each memory are in use, for the picture: first the big memory, then the fast one.
pub fn cells() -> [Cells; 2] {
    [EWRAM.cells(), IWRAM.cells()]
}

/// Whether this interrupts a call into the heap that interrupts use as well.
pub fn is_interrupted() -> bool {
    EWRAM.is_inside()
}

/// Checks both heaps, and prints how they are doing.
pub fn report() {
    crate::println!("EWRAM: {}", EWRAM.heap().stats());
    crate::println!("IWRAM: {}", IWRAM.heap().stats());
    EWRAM.heap().assert_valid();
    IWRAM.heap().assert_valid();
}

/// Checks that both heaps have everything back.
pub fn assert_empty() {
    EWRAM.heap().assert_valid();
    IWRAM.heap().assert_valid();
    assert_eq!((EWRAM.heap().stats().used, IWRAM.heap().stats().used), (0, 0), "bytes that nobody freed");
    assert!(cells().iter().all(|cells| cells.used().sum::<usize>() == 0), "a cell that is in use");
}
