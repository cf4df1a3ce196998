//! [`Growth`]: by how much a memory grows.

use core::ptr::NonNull;

use coreheap::Region;

use crate::linear_memory::{LinearMemory, PAGE_SIZE};

/// The memory grows by so much of what there is, so that growth is rare and the number of regions small.
const SHARE: usize = 16;

/// A memory that grows by what is needed, but at least by the least growth and by a 16th of what there is; if so much is refused, by what is
/// needed. Where new pages are, only the memory says: others may grow it as well.
#[derive(Debug)]
pub struct Growth<M> {
    memory: M,
    /// In pages.
    least: usize,
}

impl<M: LinearMemory> Growth<M> {
    /// Of `memory`, by `least` pages of 64 KiB or more at a time.
    pub const fn new(memory: M, least: usize) -> Self {
        Growth { memory, least }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Gets new pages of at least `min_size` bytes.
    pub fn get(&self, min_size: usize) -> Option<Region> {
        let needed = (min_size - 1) / PAGE_SIZE + 1;
        let mut pages = needed.max(self.least).max(self.memory.pages() / SHARE);
        let first = self.memory.grow(pages).or_else(|| {
            pages = needed;
            self.memory.grow(needed)
        })?;
        Some(Region { start: NonNull::new(self.memory.page(first))?, size: pages * PAGE_SIZE })
    }
}
