//! Free runs, by length.
//!
//! *Role*: finds the free run that fits best. Each length up to 33 granules has a bin of its own; each bin of longer ones reaches twice as far as
//! the one before.
//! In each is a list whose links lie in the runs. Runs of one granule have no room for links, and wait for their neighbours.
//!
//! *Invariant* F3: a free run of two granules or more is in the list of its length's bin, once, and nothing else is.

use core::num::NonZeroUsize;

use super::chunk::{Run, len_of};
use super::{GRANULE, LEAST};
use crate::page_source::PageSource;
use crate::words::{NEXT, Words};

/// Bins of one length each: from [`LEAST`] on.
const EXACT: usize = 32;
/// All bins.
const COUNT: usize = EXACT + 12;

/// So many long runs of one bin are looked at before the best of them is taken.
const CANDIDATES: usize = 16;
/// And so many in all bins, of those that are only long enough if they lie well.
const DOUBTFUL: usize = 32;

/// The first run of each list, or 0.
pub struct Bins([usize; COUNT]);

impl Bins {
    pub const fn new() -> Self {
        Bins([0; COUNT])
    }

    /// The address of a run that has `len` bytes at `align`, and stays where it is: of the shortest, but among long ones not for sure. There may be one
    /// that is not found, if `is_sure` becomes false.
    pub fn find<S: PageSource>(&self, words: Words<'_, S>, len: usize, align: usize, is_sure: &mut bool) -> Option<NonZeroUsize> {
        // First those that are long enough wherever they lie: behind the first bin all are. Then those that may be.
        let mut candidates = CANDIDATES;
        if let Some(found) = self.look(words, longest_for(len, align), GRANULE, &mut candidates, CANDIDATES) {
            return Some(found);
        }
        let mut candidates = DOUBTFUL;
        let found = self.look(words, len, align, &mut candidates, 0);
        *is_sure = candidates > 0;
        found
    }

    /// Looks at so many candidates, and at `more` of each bin but the first.
    #[inline(never)]
    fn look<S: PageSource>(
        &self,
        words: Words<'_, S>,
        len: usize,
        align: usize,
        candidates: &mut usize,
        more: usize,
    ) -> Option<NonZeroUsize> {
        let mut bin = bin_of(len);
        loop {
            let first = *self.0.get(bin)?;
            let all_fit = bin < EXACT && more > 0;
            let found = if all_fit { first } else { shortest(words, first, len, align, candidates) };
            if found != 0 {
                return NonZeroUsize::new(found);
            }
            *candidates = more.max(*candidates);
            bin += 1;
        }
    }

    /// Adds a run.
    pub fn insert<S: PageSource>(&mut self, words: Words<'_, S>, run: Run) {
        words.link(&mut self.0[bin_of(run.len)], run.start);
    }

    /// Takes a run out.
    pub fn remove<S: PageSource>(&mut self, words: Words<'_, S>, run: Run) {
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

/// How many bytes a run that begins here must have for `len` bytes at `align`.
#[inline(always)]
pub fn needed_at(run: usize, len: usize, align: usize) -> usize {
    (run.wrapping_neg() & (align - 1)) + len
}

/// The shortest run that has `len` bytes at `align`, among so many of a list, or 0. Counts down those that it looks at.
fn shortest<S: PageSource>(words: Words<'_, S>, first: usize, len: usize, align: usize, candidates: &mut usize) -> usize {
    let (mut run, mut best, mut best_len) = (first, 0, usize::MAX);
    while run != 0 && *candidates > 0 {
        let run_len = len_of(words, run);
        if run_len >= needed_at(run, len, align) && run_len < best_len {
            (best, best_len) = (run, run_len);
        }
        run = words.read(run, NEXT);
        *candidates -= 1;
    }
    best
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
