//! Ready blocks: small ones that were freed, for the next request of their size.
//!
//! *Role*: the fast path. For each size a short list, whose links lie in the blocks. What leads to a block is its address and how many are in the list
//! from there on: addresses are multiples of a granule.
//!
//! *Invariant* F4: a ready block is in the list of its size, once, and nobody's, and not free.

use core::num::NonZeroUsize;

use super::{GRANULE, LEAST};
use crate::small::words::Words;
use crate::source::page_source::PageSource;

/// One for each number of granules from 1 on.
pub const LISTS: usize = 32;
/// The longest list: that bounds how long it takes to send all blocks home.
const LONGEST: usize = 3;

const COUNT: usize = GRANULE - 1;

/// The lists. All zero: no block is ready, and none may be.
pub struct Ready {
    first: [usize; LISTS],
    /// How long a list may be: 0 if no block may be ready.
    limit: usize,
}

impl Ready {
    pub const fn new() -> Self {
        Ready { first: [0; LISTS], limit: 0 }
    }

    /// A block for `size` bytes, if one is ready.
    #[inline(always)]
    pub fn take<S: PageSource>(&mut self, words: Words<'_, S>, size: usize) -> Option<NonZeroUsize> {
        self.take_from(words, size.wrapping_sub(1) / GRANULE)
    }

    /// A block of this list.
    #[inline(always)]
    pub fn take_from<S: PageSource>(&mut self, words: Words<'_, S>, list: usize) -> Option<NonZeroUsize> {
        let first = self.first.get_mut(list)?;
        let block = NonZeroUsize::new(*first & !COUNT)?;
        *first = words.read(block.get(), 0);
        Some(block)
    }

    /// Makes a block of `size` bytes ready; false if that may not be.
    #[inline(always)]
    pub fn put<S: PageSource>(&mut self, words: Words<'_, S>, block: usize, size: usize) -> bool {
        let Some(first) = self.first.get_mut(size.wrapping_sub(1) / GRANULE) else { return false };
        let count = *first & COUNT;
        if count >= self.limit {
            return false;
        }
        words.write(block, 0, *first);
        *first = block + count + 1;
        true
    }

    /// Whether blocks may become ready.
    pub fn allow(&mut self, is_allowed: bool) {
        self.limit = if is_allowed { LONGEST } else { 0 };
    }

    /// All blocks, with their lengths.
    pub fn blocks<'a, S: PageSource>(&'a self, words: Words<'a, S>) -> impl Iterator<Item = (usize, usize)> + 'a {
        let some = |first: usize| (first != 0).then_some(first & !COUNT);
        self.first.iter().zip(1..).flat_map(move |(first, granules)| {
            let list = core::iter::successors(some(*first), move |block| some(words.read(*block, 0)));
            list.map(move |block| (block, LEAST.max(granules * GRANULE)))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
