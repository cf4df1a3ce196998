//! Blocks of the allocator under test, and threads that work with them.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::thread::scope;

use crate::subject::{allocate, deallocate, reallocate};

const ALIGN: usize = 8;

#[inline(always)]
fn layout_of(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and no workload asks for sizes near the end of the address space.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

/// A live block. Whoever has it frees it, with the allocator it came from.
#[derive(Debug)]
#[must_use]
pub struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is memory that this value owns.
unsafe impl Send for Block {}
// SAFETY: nothing is changed through a shared reference.
unsafe impl Sync for Block {}

impl Block {
    /// A new block, its first byte written. `size` is not 0.
    #[inline(always)]
    pub fn new<A: GlobalAlloc>(allocator: &A, size: usize) -> Block {
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { allocate(allocator, layout_of(size)) }).expect("out of memory");
        // SAFETY: the block has a first byte. Volatile, so that the compiler cannot leave out what nobody reads.
        unsafe { start.write_volatile(size as u8) };
        Block { start, size }
    }

    /// A new block, all of it written.
    #[inline(always)]
    pub fn filled<A: GlobalAlloc>(allocator: &A, size: usize) -> Block {
        let mut block = Block::new(allocator, size);
        block.fill(size as u8);
        block
    }

    /// Frees it.
    #[inline(always)]
    pub fn free<A: GlobalAlloc>(self, allocator: &A) {
        // SAFETY: it came from `allocator` with this layout, and is consumed.
        unsafe { deallocate(allocator, self.start.as_ptr(), layout_of(self.size)) };
    }

    /// Frees it after a look at its first byte.
    ///
    /// # Panics
    /// If that is not what [`new`](Self::new) or [`filled`](Self::filled) wrote: two blocks overlapped.
    #[inline(always)]
    pub fn check_and_free<A: GlobalAlloc>(self, allocator: &A) {
        // SAFETY: the first byte was written.
        assert_eq!(unsafe { self.start.read_volatile() }, self.size as u8, "a block changed while it was live");
        self.free(allocator);
    }

    /// Changes its size, which is not 0; what fits of the contents stays.
    #[inline(always)]
    pub fn resize<A: GlobalAlloc>(&mut self, allocator: &A, size: usize) {
        // SAFETY: it came from `allocator` with this layout; only the new place is used from here on.
        let moved = unsafe { reallocate(allocator, self.start.as_ptr(), layout_of(self.size), size) };
        self.start = NonNull::new(moved).expect("out of memory");
        self.size = size;
        // SAFETY: as in `new`.
        unsafe { self.start.write_volatile(size as u8) };
    }

    /// Its size in bytes.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Writes all of it.
    #[inline(always)]
    pub fn fill(&mut self, byte: u8) {
        self.fill_from(0, byte);
    }

    /// Writes all of it from an offset on.
    #[inline(always)]
    pub fn fill_from(&mut self, offset: usize, byte: u8) {
        // SAFETY: these bytes are the block's.
        unsafe { self.start.add(offset).write_bytes(byte, self.size.saturating_sub(offset)) };
        std::hint::black_box(self.start);
    }

    /// Writes a byte of each of its OS pages.
    pub fn touch(&mut self) {
        for offset in (0..self.size).step_by(4096) {
            // SAFETY: the offset lies in the block.
            unsafe { self.start.add(offset).write_volatile(self.size as u8) };
        }
    }

    /// Where it is.
    #[inline(always)]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Gives up ownership; [`from_start`](Self::from_start) takes it back.
    #[inline(always)]
    pub fn into_start(self) -> NonNull<u8> {
        self.start
    }

    /// # Safety
    /// `start` is the start of a block of this size that was given up.
    #[inline(always)]
    pub unsafe fn from_start(start: NonNull<u8>, size: usize) -> Block {
        Block { start, size }
    }
}

/// Frees all blocks of a list.
pub fn free_all<A: GlobalAlloc>(allocator: &A, blocks: impl IntoIterator<Item = Block>) {
    blocks.into_iter().for_each(|block| block.free(allocator));
}

/// Runs `work` on so many threads at once, each with its number, and waits for them.
pub fn on_threads(count: usize, work: impl Fn(usize) + Sync) {
    if count == 1 {
        return work(0);
    }
    let work = &work;
    scope(|scope| (0..count).for_each(|number| drop(scope.spawn(move || work(number)))));
}
