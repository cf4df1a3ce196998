//! Free blocks, by size.
//!
//! *Role*: finds a free block that is big enough. Four bins to each doubling of the size; in each a list whose links lie in the blocks.
//!
//! *Invariant* D3: a free block is in the list of its size's bin, once, and nothing else is; a bin's bit is set if and only if its list is
//! not empty.

use core::num::NonZeroUsize;

use super::tag::GRANULE;
use crate::page_source::PageSource;
use crate::words::{WORD, Words};

const COUNT: usize = u64::BITS as usize;

/// So many blocks that may be too small are looked at before one is taken that is bigger for sure.
const CANDIDATES: usize = 4;

/// Words of a free block: links to its neighbours in the list, or 0.
pub const NEXT: usize = 1;
const BEFORE: usize = 2;
/// Bytes of a free block from its tag to behind its links.
pub const LINKED: usize = 3 * WORD;

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

    /// A block of at least `size` bytes, which stays where it is.
    pub fn find<S: PageSource>(&self, words: Words<'_, S>, size: usize) -> Option<NonZeroUsize> {
        let bin = bin_of(size);
        let bigger = self.has_blocks & !1 << bin;
        let mut candidates = if bigger != 0 { CANDIDATES } else { usize::MAX };
        let mut block = self.first[bin];
        while block != 0 && candidates != 0 {
            // Its marks do not count: sizes are multiples of more.
            if words.tag(block).0 >= size {
                return NonZeroUsize::new(block);
            }
            block = words.read(block, NEXT);
            candidates -= 1;
        }
        if bigger != 0 { NonZeroUsize::new(self.first[bigger.trailing_zeros() as usize]) } else { None }
    }

    /// Adds a free block.
    pub fn insert<S: PageSource>(&mut self, words: Words<'_, S>, block: usize, size: usize) {
        let bin = bin_of(size);
        let next = self.first[bin];
        words.write(block, NEXT, next);
        words.write(block, BEFORE, 0);
        if next != 0 {
            words.write(next, BEFORE, block);
        }
        self.first[bin] = block;
        self.has_blocks |= 1 << bin;
    }

    /// Takes a free block out.
    pub fn remove<S: PageSource>(&mut self, words: Words<'_, S>, block: usize, size: usize) {
        let (next, before) = (words.read(block, NEXT), words.read(block, BEFORE));
        if next != 0 {
            words.write(next, BEFORE, before);
        }
        if before != 0 {
            words.write(before, NEXT, next);
            return;
        }
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
            let mut before = 0;
            for block in self.blocks(words, bin).map(NonZeroUsize::get) {
                assert_eq!(bin_of(words.tag(block).size()), bin, "D3: {block:#x} is in the wrong bin");
                assert_eq!(words.read(block, BEFORE), before, "D3: the block before {block:#x}");
                before = block;
                count += 1;
            }
        }
        count
    }

    /// The blocks of one bin.
    fn blocks<S: PageSource>(&self, words: Words<'_, S>, bin: usize) -> impl Iterator<Item = NonZeroUsize> {
        core::iter::successors(NonZeroUsize::new(self.first[bin]), move |block| NonZeroUsize::new(words.read(block.get(), NEXT)))
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
