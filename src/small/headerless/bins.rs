//! Free runs, by length.
//!
//! *Role*: finds the free run that fits best. Each length up to 33 granules has a bin of its own; each bin of longer ones reaches twice as far as
//! the one before.
//! In each is a list whose links lie in the runs. Runs of one granule have no room for links, and wait for their neighbours.
//!
//! *Invariant* F3: a free run of two granules or more is in the list of its length's bin, once, and nothing else is.

use core::num::NonZeroUsize;

use super::chunk::{FreeRun, len_of};
use super::{GRANULE, LEAST};
use crate::small::words::{NEXT, Words};
use crate::source::page_source::PageSource;

/// Bins of one length each: from [`LEAST`] on.
const EXACT: usize = 32;
/// All bins.
const COUNT: usize = EXACT + 12;

/// So many long runs of one bin are looked at before the best of them is taken.
const CANDIDATES: usize = 16;

/// The first run of each list, or 0.
pub struct Bins([usize; COUNT]);

impl Bins {
    pub const fn new() -> Self {
        Bins([0; COUNT])
    }

    /// The address of a run of so many bytes or more, that stays where it is: of the shortest, but among long ones not for sure.
    pub fn find<S: PageSource>(&self, words: Words<'_, S>, least: usize) -> Option<NonZeroUsize> {
        let mut bin = bin_of(least);
        loop {
            let first = NonZeroUsize::new(*self.0.get(bin)?);
            let found = first.and_then(|first| if bin < EXACT { Some(first) } else { shortest(words, first, least).0 });
            if found.is_some() {
                return found;
            }
            // Behind its bin all runs are long enough.
            bin += 1;
        }
    }

    /// Whether [`find`](Self::find) may have missed a run: it did not look at all of the bin.
    pub fn may_miss<S: PageSource>(&self, words: Words<'_, S>, least: usize) -> bool {
        let bin = bin_of(least);
        let first = self.0.get(bin).copied().and_then(NonZeroUsize::new);
        bin >= EXACT && first.is_some_and(|first| shortest(words, first, least).1 != 0)
    }

    /// Adds a run.
    pub fn insert<S: PageSource>(&mut self, words: Words<'_, S>, run: FreeRun) {
        words.link(&mut self.0[bin_of(run.len)], run.start);
    }

    /// Takes a run out.
    pub fn remove<S: PageSource>(&mut self, words: Words<'_, S>, run: FreeRun) {
        if let Some(next) = words.unlink(run.start) {
            self.0[bin_of(run.len)] = next;
        }
    }

    /// Panics if a run is in the wrong place (F3); returns how many there are.
    pub fn assert_valid<S: PageSource>(&self, words: Words<'_, S>) -> usize {
        let mut count = 0;
        for bin in 0..COUNT {
            for run in words.assert_list(self.0[bin], "F3") {
                assert_eq!(bin_of(len_of(words, run)), bin, "F3: {run:#x} is in the wrong bin");
                count += 1;
            }
        }
        count
    }
}

/// Wherever a run of so many bytes lies, it has `len` bytes at `align`.
pub fn longest_for(len: usize, align: usize) -> usize {
    len + align.saturating_sub(GRANULE)
}

/// The shortest run that has so many bytes, among the first of a list; and where the rest of the list begins, or 0.
#[inline(never)]
fn shortest<S: PageSource>(words: Words<'_, S>, first: NonZeroUsize, least: usize) -> (Option<NonZeroUsize>, usize) {
    let (mut run, mut best, mut best_len) = (first.get(), 0, usize::MAX);
    for _ in 0..CANDIDATES {
        let len = len_of(words, run);
        if len >= least && len < best_len {
            (best, best_len) = (run, len);
        }
        run = words.read(run, NEXT);
        if run == 0 {
            break;
        }
    }
    (NonZeroUsize::new(best), run)
}

/// Which bin has the runs of so many bytes, which are at least [`LEAST`]. The last one has all that are longer as well.
#[inline(never)]
fn bin_of(len: usize) -> usize {
    let mut bin = (len - LEAST) / GRANULE;
    if bin >= EXACT {
        bin = EXACT;
        let mut longer = 2 * (LEAST + EXACT * GRANULE);
        while len >= longer && bin < COUNT - 1 {
            longer *= 2;
            bin += 1;
        }
    }
    bin
}

#[cfg(all(test, not(loom)))]
mod tests;
