//! [`WholePages`]: the page source of heaps that take all that comes.

use core::ptr::NonNull;

use coreheap::{PageSource, Region, RegionRequest};

use crate::growth::Growth;
use crate::linear_memory::{LinearMemory, PAGE_SIZE};

/// A memory that grows while a heap needs more, and cannot shrink. The heap gets all pages that come, also those that it has not asked for, and
/// joins those that touch.
#[derive(Debug)]
pub struct WholePages<M> {
    growth: Growth<M>,
}

impl<M: LinearMemory> WholePages<M> {
    /// Over `memory`, which grows by `least_growth` pages of 64 KiB or more at a time.
    pub const fn new(memory: M, least_growth: usize) -> Self {
        WholePages { growth: Growth::new(memory, least_growth) }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        self.growth.memory()
    }
}

// SAFETY: the memory gives each page once, and what is behind the program's own once. Its pages are one object.
unsafe impl<M: LinearMemory> PageSource for WholePages<M> {
    const JOINS: bool = true;
    const DISCARDS: bool = M::DISCARDS;
    const OS_PAGE_SIZE: usize = if M::DISCARDS { PAGE_SIZE } else { 1 };

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.memory().initial(request.min_size).or_else(|| self.growth.get(request.min_size))
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise; they are whole pages.
        unsafe { self.memory().discard(start, size) };
        M::DISCARDS
    }
}
