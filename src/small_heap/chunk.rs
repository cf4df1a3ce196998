//! A region of a [`SmallHeap`](super::SmallHeap), and which of its granules are free.
//!
//! *Role*: finds a run of granules that fits. One bit for each granule is the truth. Hints say where to look: runs are told apart by their length,
//! two classes to each doubling, and for each class there is one bit for each word of the bitmap.
//!
//! *Invariants*
//! - U1: whoever cleared a granule's bit owns the granule, until the bit is set again.
//! - U2: a chunk lies at the start of its region, is published once and stays.
//! - U3: where no context is in the middle of a call, the word in which a free run starts has a hint in the run's class. There may be other hints
//!   as well; who finds nothing there clears them.

use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use crate::bitmap::{Bitmap, words_for};
use crate::page_source::Region;
use crate::size_class::GRANULE;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, WORD_BITS};

/// How many classes of runs there are.
const CLASSES: usize = 16;
/// Runs of so many granules are of the last class, and so are all longer ones.
const LONGEST: usize = shortest_of(CLASSES - 1);

/// A region: this, its tables, its granules.
pub struct Chunk {
    /// The chunk before.
    pub next: AtomicPtr<Chunk>,
    /// The bitmap of free granules, then the hints of each class.
    tables: NonNull<AtomicUsize>,
    /// Address of granule 0.
    start: usize,
    count: usize,
    /// One bit for each class that may have hints.
    classes: AtomicUsize,
}

impl Chunk {
    /// Bytes of a region in which a block of `size` bytes at `align` surely fits.
    pub const fn region_for(size: usize, align: usize) -> usize {
        let block = size.saturating_add(align);
        // The chunk, tables of whole words, and what is lost at both ends.
        let least = size_of::<Chunk>() + (CLASSES + 2) * size_of::<usize>() + 2 * align_of::<Chunk>() + GRANULE;
        block.saturating_add(block / 32).saturating_add(least)
    }

    /// Makes a chunk in `region`; `None` if that is too small for a granule.
    pub fn create(region: Region) -> Option<NonNull<Chunk>> {
        let start = region.start.addr().get();
        // Without its last byte where it ends at the end of the address space, so that no address wraps around.
        let end = start + region.size.min(usize::MAX - start);
        let tables = start.checked_next_multiple_of(align_of::<Chunk>())?.checked_add(size_of::<Chunk>())?;
        let words = table_words(end.checked_sub(tables)? / GRANULE);
        let first = tables.checked_add(words * size_of::<AtomicUsize>())?.checked_next_multiple_of(GRANULE)?;
        let count = end.checked_sub(first)? / GRANULE;
        if count == 0 {
            return None;
        }
        region.start.as_ptr().expose_provenance();
        // SAFETY: all inside the region, which is the heap's, and aligned: words are no bigger than what a chunk is aligned to.
        unsafe {
            let tables = region.start.add(tables - start).cast::<AtomicUsize>();
            tables.write_bytes(0, words);
            let chunk = tables.cast::<Chunk>().sub(1);
            let (next, classes) = (AtomicPtr::new(null_mut()), AtomicUsize::new(0));
            chunk.write(Chunk { next, tables, start: first, count, classes });
            chunk.as_ref().release(0..count);
            Some(chunk)
        }
    }

    /// How many granules there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The free granules.
    pub fn free(&self) -> Bitmap<'_> {
        self.table(0, self.count)
    }

    /// The `len` granules from this address on, if they are all in here.
    pub fn run_at(&self, address: usize, len: usize) -> Option<Range<usize>> {
        let offset = address.wrapping_sub(self.start);
        let first = offset / GRANULE;
        let is_inside = offset.is_multiple_of(GRANULE) && first < self.count && len <= self.count - first;
        is_inside.then_some(first..first + len)
    }

    /// Claims `len` granules that start at a multiple of `align` bytes, and returns their address: those of a run that is hardly longer, at the
    /// lowest address where there is a hint.
    pub fn claim(&self, len: usize, align: usize) -> Option<NonZeroUsize> {
        let mut classes = self.classes.load(Ordering::Relaxed) & usize::MAX << class_of(len);
        while classes != 0 {
            let class = classes.trailing_zeros() as usize;
            let lens = shortest_of(class)..if class < CLASSES - 1 { shortest_of(class + 1) } else { usize::MAX };
            let hints = self.hints(class);
            let mut from = 0;
            while let Some(index) = hints.next_set(from) {
                match self.claim_in(index, &lens, len, align) {
                    Ok(address) => return Some(address),
                    Err(true) => {}
                    Err(false) => hints.clear_hint(index),
                }
                from = index + 1;
            }
            if from == 0 {
                self.class_hints().clear_hint(class);
            }
            classes &= classes - 1;
        }
        None
    }

    /// Like [`claim`](Self::claim), but looks at every free run: also at those whose hint another context is about to give.
    pub fn claim_anywhere(&self, len: usize, align: usize) -> Option<NonZeroUsize> {
        (0..words_for(self.count)).find_map(|index| self.claim_in(index, &(0..usize::MAX), len, align).ok())
    }

    /// Claims the granules of `run`, all of them or none. Some of them may lie beyond the end.
    pub fn claim_exactly(&self, run: Range<usize>) -> bool {
        let end = run.end;
        let is_claimed = self.free().claim(run);
        if is_claimed {
            self.note(end, self.free().run_at(end, LONGEST));
        }
        is_claimed
    }

    /// Releases owned granules (U1).
    pub fn release(&self, run: Range<usize>) {
        self.free().release(run.clone());
        let around = self.free().around(run, LONGEST);
        self.note(around.start, around.len());
    }

    /// How many granules are free that start between these addresses.
    pub fn free_between(&self, start: usize, end: usize) -> usize {
        let granule = |address: usize| (address.saturating_sub(self.start).div_ceil(GRANULE)).min(self.count);
        self.free().count_in(granule(start)..granule(end))
    }

    /// Panics if a hint is missing (U3).
    pub fn assert_valid(&self) {
        let mut from = 0;
        while let Some(run) = self.free().next_run(from) {
            let class = class_of(run.len());
            let has_hint =
                self.hints(class).next_run(run.start / WORD_BITS).is_some_and(|hints| hints.start == run.start / WORD_BITS);
            assert!(
                has_hint && self.classes.load(Ordering::Relaxed) >> class & 1 == 1,
                "no hint leads to the free granules {run:?}"
            );
            from = run.end;
        }
    }

    /// Claims from a run that starts in this word, and whose length is one of `lens`; else says whether there is one.
    fn claim_in(&self, index: usize, lens: &Range<usize>, len: usize, align: usize) -> Result<NonZeroUsize, bool> {
        let (mut starts, word) = self.free().starts_in(index);
        let mut has_one = false;
        while starts != 0 {
            let bit = starts.trailing_zeros() as usize;
            starts &= starts - 1;
            let start = index * WORD_BITS + bit;
            let mut run = (word >> bit).trailing_ones() as usize;
            if bit + run == WORD_BITS {
                // As far as the block and the class of the rest depend on it.
                run += self.free().run_at(start + run, len.saturating_add(align).saturating_add(LONGEST));
            }
            if lens.contains(&run) {
                has_one = true;
                if let Some(address) = self.claim_of(start..start + run, len, align) {
                    return Ok(address);
                }
            }
        }
        Err(has_one)
    }

    /// Claims from `run`, if it is long enough and still free.
    fn claim_of(&self, run: Range<usize>, len: usize, align: usize) -> Option<NonZeroUsize> {
        let mut start = run.start;
        if align > GRANULE {
            let offset = self.start / GRANULE;
            start = (start + offset).checked_next_multiple_of(align / GRANULE)? - offset;
        }
        let end = start.checked_add(len)?;
        if end > run.end || !self.free().claim(start..end) {
            return None;
        }
        self.note(run.start, start - run.start);
        self.note(end, run.end - end);
        NonZeroUsize::new(self.start + start * GRANULE)
    }

    /// Gives a hint: `len` free granules in a row start here.
    fn note(&self, start: usize, len: usize) {
        if len > 0 {
            let class = class_of(len);
            self.hints(class).set_hint(start / WORD_BITS);
            self.class_hints().set_hint(class);
        }
    }

    /// The classes that may have hints.
    fn class_hints(&self) -> Bitmap<'_> {
        Bitmap::new(core::slice::from_ref(&self.classes), CLASSES)
    }

    fn hints(&self, class: usize) -> Bitmap<'_> {
        let words = words_for(self.count);
        self.table(words + class * words_for(words), words)
    }

    /// The table that begins with word `first`.
    fn table(&self, first: usize, bits: usize) -> Bitmap<'_> {
        // SAFETY: `create` made so many words, and they stay (U2).
        Bitmap::new(unsafe { core::slice::from_raw_parts(self.tables.add(first).as_ptr(), words_for(bits)) }, bits)
    }
}

/// How many words the tables for `count` granules have.
const fn table_words(count: usize) -> usize {
    words_for(count) + CLASSES * words_for(words_for(count))
}

/// The class of a run of `len` granules, at least 1: 0 to 3 for 1 to 4, 3 for 5, 4 for 6 and 7, 5 from 8 on, 6 from 12 on, and so forth.
const fn class_of(len: usize) -> usize {
    if len >= LONGEST {
        return CLASSES - 1;
    }
    let log = len.ilog2() as usize;
    if log == 0 { 0 } else { 2 * log - 1 + (len >> (log - 1) & 1) }
}

/// The length of the shortest runs of a class.
const fn shortest_of(class: usize) -> usize {
    if class == 0 { 1 } else { (2 + (class + 1) % 2) << (class.div_ceil(2) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_of_one_class() {
        for class in 0..CLASSES - 1 {
            for len in shortest_of(class)..shortest_of(class + 1) {
                assert_eq!(class_of(len), class, "a run of {len}");
            }
        }
        assert_eq!((class_of(LONGEST), class_of(usize::MAX)), (CLASSES - 1, CLASSES - 1));
    }
}
