//! [`Discarding`]: memory whose free pages a function of the program's gives up.

use core::ptr::NonNull;

use coreheap::Region;

use crate::linear_memory::LinearMemory;

/// A memory with a function that gives up what is in whole pages: their address, and how many bytes they are together. They may hold anything when
/// it returns. A module cannot do so by itself yet; JavaScript can, where the engine has `memory.discard`.
///
/// A heap calls it in `purge`, for free pages that nobody can have meanwhile. It may allocate and free in that heap, as any function may.
#[derive(Debug)]
pub struct Discarding<M> {
    memory: M,
    discard: fn(*mut u8, usize),
}

impl<M> Discarding<M> {
    /// `memory`, of which `discard` gives up pages.
    pub const fn new(memory: M, discard: fn(*mut u8, usize)) -> Self {
        Discarding { memory, discard }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

// SAFETY: that memory's own promises.
unsafe impl<M: LinearMemory> LinearMemory for Discarding<M> {
    const DISCARDS: bool = true;

    fn grow(&self, pages: usize) -> Option<usize> {
        self.memory.grow(pages)
    }

    fn pages(&self) -> usize {
        self.memory.pages()
    }

    fn page(&self, index: usize) -> *mut u8 {
        self.memory.page(index)
    }

    fn initial(&self, min_size: usize) -> Option<Region> {
        self.memory.initial(min_size)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) {
        (self.discard)(start.as_ptr(), size);
    }
}
