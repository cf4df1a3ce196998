//! Free blocks, by size.
//!
//! *Role*: finds a free block that is big enough. Four bins to each doubling of the size; in each a list whose links lie in the blocks.
//!
//! *Invariant* D3: a free block is in the list of its size's bin, once, and nothing else is; a bin's bit is set if and only if its list is
//! not empty.

use core::num::NonZeroUsize;

use super::tag::{GRANULE, front_for};
use crate::small::words::{NEXT, Words};
use crate::source::page_source::PageSource;

const COUNT: usize = u64::BITS as usize;

/// The lists. All zero when new.
pub struct Bins {
    has_blocks: u64,
    /// The first block of each, or 0.
    first: [usize; COUNT],
}

impl Bins {
    pub const fn new() -> Self {
        Bins { has_blocks: 0, first: [0; COUNT] }
    }

    /// A block in which `size` bytes have room at `align`, and which stays where it is: among so many `candidates` of each bin, from that on which has
    /// blocks of `least` bytes.
    #[inline(never)]
    pub fn find<S: PageSource>(
        &self,
        words: Words<'_, S>,
        least: usize,
        candidates: usize,
        size: usize,
        align: usize,
    ) -> Option<NonZeroUsize> {
        let mut bins = self.has_blocks & u64::MAX << bin_of(least);
        while bins != 0 {
            let mut block = self.first[bins.trailing_zeros() as usize];
            let mut left = candidates;
            while block != 0 && left != 0 {
                // Its marks do not count: sizes are multiples of more.
                if words.tag(block).0 >= front_for(block, align) + size {
                    return NonZeroUsize::new(block);
                }
                block = words.read(block, NEXT);
                left -= 1;
            }
            bins &= bins - 1;
        }
        None
    }

    /// Adds a free block.
    pub fn insert<S: PageSource>(&mut self, words: Words<'_, S>, block: usize, size: usize) {
        let bin = bin_of(size);
        words.link(&mut self.first[bin], block);
        self.has_blocks |= 1 << bin;
    }

    /// Takes a free block out.
    pub fn remove<S: PageSource>(&mut self, words: Words<'_, S>, block: usize, size: usize) {
        let Some(next) = words.unlink(block) else { return };
        let bin = bin_of(size);
        self.first[bin] = next;
        if next == 0 {
            self.has_blocks &= !(1 << bin);
        }
    }

    /// Panics if a bit is wrong (D3); returns how many free blocks there are.
    pub fn assert_valid<S: PageSource>(&self, words: Words<'_, S>) -> usize {
        let mut count = 0;
        for bin in 0..COUNT {
            assert_eq!(self.has_blocks >> bin & 1 != 0, self.first[bin] != 0, "D3: the bit of bin {bin}");
            for block in words.assert_list(self.first[bin], "D3") {
                assert_eq!(bin_of(words.tag(block).size()), bin, "D3: {block:#x} is in the wrong bin");
                count += 1;
            }
        }
        count
    }
}

/// Which bin has the free blocks of so many bytes. The last one has all that are bigger as well.
#[inline]
fn bin_of(size: usize) -> usize {
    // The two bits behind the first one tell four bins apart. The smallest block has two granules, so there are that many.
    let granules = size / GRANULE + 2;
    let shift = (usize::BITS - 3 - granules.leading_zeros()) as usize;
    (4 * shift + (granules >> shift) - 4).min(COUNT - 1)
}

#[cfg(all(test, not(loom)))]
mod tests;
