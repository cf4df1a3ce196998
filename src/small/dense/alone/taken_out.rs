//! Free blocks whose OS pages are given up.
//!
//! *Role*: [`DenseHeap::purge`](crate::DenseHeap::purge) takes one block out of its bin at a time, has the source discard what lies inside, and puts it
//! back. Meanwhile nobody else can have it.

use super::super::tag::Tag;
use super::{Alone, DenseRegion};
use crate::small::words::{LINKED, WORD};
use crate::source::page_source::PageSource;

/// A free block that is taken out of its bin while its OS pages are discarded.
pub struct TakenOut {
    region: DenseRegion,
    block: usize,
    size: usize,
}

impl TakenOut {
    /// A block of no region.
    #[cfg(all(test, not(loom)))]
    pub fn of(block: usize, size: usize) -> Self {
        TakenOut { region: DenseRegion { head: 0, end: 0 }, block, size }
    }

    /// The OS pages of `unit` bytes on which nothing lies but a free block of this size, between its links and the size at its end: where they begin, and
    /// their bytes.
    pub fn pages(&self, unit: usize) -> Option<(usize, usize)> {
        let (first, end) = ((self.block + LINKED).div_ceil(unit), (self.block + self.size - WORD) / unit);
        (first < end).then(|| (first * unit, (end - first) * unit))
    }
}

impl<S: PageSource, const READY: usize> Alone<'_, S, READY> {
    /// Puts a block back, and takes out the next one behind it that has whole OS pages: one is out at a time.
    pub fn take_out_next(&mut self, before: Option<TakenOut>) -> Option<TakenOut> {
        let (mut region, mut block) = match before {
            Some(TakenOut { region, block, size }) => {
                let next = block + size;
                let behind = self.free_at(next);
                self.release(block, size);
                (region, next + behind)
            }
            None => (self.regions().next()?, self.state.newest.first_block()),
        };
        loop {
            for (block, tag) in self.blocks_from(block) {
                let taken = TakenOut { region, block, size: tag.size() };
                if tag.is(Tag::FREE) && taken.pages(S::OS_PAGE_SIZE).is_some() {
                    self.state.bins.remove(self.words, block, tag.size());
                    self.words.set_used(block, tag.size(), 0);
                    return Some(taken);
                }
            }
            region = self.older(region)?;
            block = region.first_block();
        }
    }
}
