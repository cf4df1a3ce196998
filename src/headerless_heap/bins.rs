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
use crate::words::Words;

/// Bins of one length each: from [`LEAST`] on.
const EXACT: usize = 32;
/// All bins.
const COUNT: usize = EXACT + 12;

/// So many long runs of one bin are looked at before the best of them is taken.
const CANDIDATES: usize = 16;

// Words of a free run, behind its mark: links to its neighbours in the list, or 0.
const NEXT: usize = 1;
const BEFORE: usize = 2;

/// The first run of each list, or 0.
pub struct Bins([usize; COUNT]);

impl Bins {
    pub const fn new() -> Self {
        Bins([0; COUNT])
    }

    /// The address of a run that has `len` bytes at `align`, and stays where it is: of the shortest, but among long ones not for sure.
    pub fn find<S: PageSource>(&self, words: Words<'_, S>, len: usize, align: usize) -> Option<NonZeroUsize> {
        // First those that are long enough wherever they lie, and not all; then all that may be.
        self.look(words, longest_for(len, align), GRANULE, CANDIDATES).or_else(|| self.look(words, len, align, usize::MAX))
    }

    #[inline(never)]
    fn look<S: PageSource>(&self, words: Words<'_, S>, len: usize, align: usize, candidates: usize) -> Option<NonZeroUsize> {
        let mut bin = bin_of(len);
        loop {
            let first = *self.0.get(bin)?;
            let all_fit = bin < EXACT && candidates == CANDIDATES;
            let found = if all_fit { first } else { shortest(words, first, len, align, candidates) };
            if found != 0 {
                return NonZeroUsize::new(found);
            }
            bin += 1;
        }
    }

    /// Adds a run.
    pub fn insert<S: PageSource>(&mut self, words: Words<'_, S>, run: Run) {
        let (first, run) = (&mut self.0[bin_of(run.len)], run.start);
        words.write(run, NEXT, *first);
        words.write(run, BEFORE, 0);
        if *first != 0 {
            words.write(*first, BEFORE, run);
        }
        *first = run;
    }

    /// Takes a run out.
    pub fn remove<S: PageSource>(&mut self, words: Words<'_, S>, run: Run) {
        let (next, before) = (words.read(run.start, NEXT), words.read(run.start, BEFORE));
        if next != 0 {
            words.write(next, BEFORE, before);
        }
        if before != 0 {
            words.write(before, NEXT, next);
        } else {
            self.0[bin_of(run.len)] = next;
        }
    }

    /// Panics if a run is in the wrong place (F3); returns how many there are.
    pub fn assert_valid<S: PageSource>(&self, words: Words<'_, S>) -> usize {
        let mut count = 0;
        for bin in 0..COUNT {
            let (mut run, mut before) = (self.0[bin], 0);
            while run != 0 {
                assert_eq!(bin_of(len_of(words, run)), bin, "F3: {run:#x} is in the wrong bin");
                assert_eq!(words.read(run, BEFORE), before, "F3: the run before {run:#x}");
                (before, run) = (run, words.read(run, NEXT));
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

/// The shortest run that has `len` bytes at `align`, among so many of a list, or 0.
fn shortest<S: PageSource>(words: Words<'_, S>, first: usize, len: usize, align: usize, candidates: usize) -> usize {
    let (mut run, mut seen, mut best, mut best_len) = (first, 0, 0, usize::MAX);
    while run != 0 && seen < candidates {
        let run_len = len_of(words, run);
        if run_len >= (run.wrapping_neg() & (align - 1)) + len && run_len < best_len {
            (best, best_len) = (run, run_len);
        }
        run = words.read(run, NEXT);
        seen += 1;
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
