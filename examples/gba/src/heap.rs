//! The heaps: one in each kind of memory.

use alloc::alloc::{AllocError, Allocator, GlobalAlloc, Layout};
use core::ptr::NonNull;

use coreheap::atomic::Ordering::Relaxed;
use coreheap::sources::FixedRegion;
use coreheap::{SmallHeap, Tiny};
use coreheap_bare::{AnyContext, BareHeap};

use crate::println;
use crate::watched::{Cells, Memory, Watched};

/// How many bytes, in how many cells of the picture.
const EWRAM_BYTES: usize = 240 * 1024;
const EWRAM_CELLS: usize = 480;
const IWRAM_BYTES: usize = 15 * 1024;
const IWRAM_CELLS: usize = 120;

/// 240 of 256 KiB: the big memory, on a bus of 16 bits, where all statics are that ask for nothing else.
static EWRAM_MEMORY: Memory<EWRAM_BYTES> = Memory::new();
/// 15 of 32 KiB: the fast memory, on the chip.
#[unsafe(link_section = ".iwram.heap")]
static IWRAM_MEMORY: Memory<IWRAM_BYTES> = Memory::new();

/// What names no memory comes from here.
#[global_allocator]
#[unsafe(link_section = ".iwram.heap")]
static EWRAM: Watched<BareHeap<FixedRegion, AnyContext, Tiny>, EWRAM_BYTES, EWRAM_CELLS> =
    // SAFETY: this memory is for this heap.
    Watched::new(BareHeap::with_source(unsafe { FixedRegion::over(EWRAM_MEMORY.start(), EWRAM_BYTES) }), &EWRAM_MEMORY);

/// Few blocks, and among them big ones: no size classes.
#[unsafe(link_section = ".iwram.heap")]
static IWRAM: Watched<SmallHeap<FixedRegion>, IWRAM_BYTES, IWRAM_CELLS> =
    // SAFETY: this memory is for this heap.
    Watched::new(SmallHeap::new(unsafe { FixedRegion::over(IWRAM_MEMORY.start(), IWRAM_BYTES) }), &IWRAM_MEMORY);

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

/// Prints how both heaps are doing.
pub fn report() {
    println!("EWRAM: {}", EWRAM.heap().heap().stats());
    println!("IWRAM: {:?}", IWRAM.heap().stats());
}

/// Checks both heaps, and that they have everything back.
pub fn assert_empty() {
    EWRAM.heap().heap().assert_valid();
    let (big, fast) = (EWRAM.heap().heap().stats(), IWRAM.heap().stats());
    assert_eq!((big.used, fast.used), (0, 0), "bytes that nobody freed");
    assert_eq!((big.misuses, fast.misuses), (0, 0), "mistakes of the program");
    assert!(cells().iter().flat_map(|cells| cells.used).all(|used| used.load(Relaxed) == 0), "a cell is in use");
}
