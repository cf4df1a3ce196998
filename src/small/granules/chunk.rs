//! A region of a [`SmallHeap`](super::SmallHeap), and which of its granules are free.
//!
//! *Role*: finds a run of granules that fits. One bit for each granule is the truth. Hints say where to look: runs are told apart by their length,
//! two classes to each doubling, and for each class there is one bit for each word of the bitmap.
//!
//! *Invariants*
//! - U1: whoever cleared a granule's bit owns the granule, until the bit is set again.
//! - U2: a chunk lies at the start of its region, is published once and stays.
//! - U3: the word in which a free run starts has a hint in the run's class, unless contexts that came between each other's steps have lost it:
//!   who looks at every run gives it again. There may be other hints as well; who finds nothing there clears them.

use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use crate::base::bitmap::{Bitmap, mask, words_for};
use crate::base::size_class::GRANULE;
use crate::base::sync::{AtomicPtr, AtomicUsize, Ordering, WORD_BITS};
use crate::source::page_source::{PageSource, Region};

/// How many classes of runs there are.
const CLASSES: usize = 16;
/// Stands for all of them.
const ANY_CLASS: usize = CLASSES;
/// Runs of so many granules are of the last class, and so are all longer ones.
const LONGEST: usize = shortest_of(CLASSES - 1);

/// A region: this, its tables, its granules.
pub struct Chunk {
    /// The chunk before.
    pub next: AtomicPtr<Chunk>,
    /// The bitmap of free granules, then the hints: for each class a bit for each of those words.
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

    /// Bytes that a region has at least in which a block of `size` bytes can fit.
    pub const fn least_region_for(size: usize) -> usize {
        let count = if size == 0 { 1 } else { size.div_ceil(GRANULE) };
        tables_for(count).saturating_add(count * GRANULE)
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
            (0..words).for_each(|word| tables.add(word).write(AtomicUsize::new(0)));
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
        Bitmap::new(self.table(0, words_for(self.count)), self.count)
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
            let (mut group, mut any) = (0, 0);
            for hints in self.hints(class) {
                let marked = hints.load(Ordering::Relaxed);
                any |= marked;
                if marked != 0
                    && let Some(address) = self.claim_in(group, marked, class, len, align)
                {
                    return Some(address);
                }
                group += WORD_BITS;
            }
            if any == 0 {
                self.classes.fetch_and(!(1 << class), Ordering::Relaxed);
                if self.hints(class).iter().any(|hints| hints.load(Ordering::Relaxed) != 0) {
                    set(&self.classes, class);
                }
            }
            classes &= classes - 1;
        }
        None
    }

    /// Like [`claim`](Self::claim), but looks at every free run, and gives hints at those that it passes: where there is none yet, or it was lost.
    pub fn claim_anywhere(&self, len: usize, align: usize) -> Option<NonZeroUsize> {
        let words = words_for(self.count);
        let marked = |group: usize| mask(0, WORD_BITS.min(words - group));
        (0..words).step_by(WORD_BITS).find_map(|group| self.claim_in(group, marked(group), ANY_CLASS, len, align))
    }

    /// Claims the granules of `run`, all of them or none. Some of them may lie beyond the end.
    pub fn claim_exactly(&self, run: Range<usize>) -> bool {
        let end = run.end;
        let is_claimed = self.free().claim(run);
        if is_claimed {
            // The rest, as it is now.
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

    /// Panics if a hint is missing that no other context can have lost (U3).
    #[cfg(all(test, not(loom)))]
    fn assert_has_hints(&self) {
        let mut from = 0;
        while let Some(run) = self.free().next_run(from) {
            let (class, index) = (class_of(run.len()), run.start / WORD_BITS);
            let is_set = |word: &AtomicUsize, bit: usize| word.load(Ordering::Relaxed) >> bit & 1 == 1;
            let has_hint = is_set(&self.hints(class)[index / WORD_BITS], index % WORD_BITS) && is_set(&self.classes, class);
            assert!(has_hint, "no hint leads to the free granules {run:?}");
            from = run.end;
        }
    }

    /// Claims from a run of this class that starts in one of the words that are `marked`, the first of which is `group`. Clears hints that lead
    /// to none.
    fn claim_in(&self, group: usize, mut marked: usize, class: usize, len: usize, align: usize) -> Option<NonZeroUsize> {
        let free = self.free();
        let (shortest, longer) = lens_of(class);
        let mut is_cleared = false;
        while marked != 0 {
            let bit = marked.trailing_zeros() as usize;
            let (word, mut starts) = free.starts_in(group + bit);
            let mut has_one = false;
            while starts != 0 {
                let (shift, start) = (starts.trailing_zeros() as usize, (group + bit) * WORD_BITS);
                starts &= starts - 1;
                let mut run = (word >> shift).trailing_ones() as usize;
                if shift + run == WORD_BITS {
                    run += free.run_at(start + WORD_BITS, len.saturating_add(align).max(LONGEST));
                }
                if run < longer && run >= shortest {
                    has_one = true;
                    if run >= len
                        && let Some(address) = self.claim_of(start + shift..start + shift + run, len, align)
                    {
                        return Some(address);
                    }
                    if class == ANY_CLASS {
                        self.note(start + shift, run);
                    }
                }
            }
            if class < CLASSES && has_one == is_cleared {
                let hints = &self.hints(class)[group / WORD_BITS];
                if has_one {
                    set(hints, bit);
                } else {
                    hints.fetch_and(!(1 << bit), Ordering::Relaxed);
                    // Another context may have given this hint just now; then this word has changed, or one that its last run goes on in.
                    if free.word(group + bit) != word || word >> (WORD_BITS - 1) == 1 {
                        is_cleared = true;
                        continue;
                    }
                }
            }
            is_cleared = false;
            marked &= marked - 1;
        }
        None
    }

    /// Claims from `run`, if it is long enough and still free.
    fn claim_of(&self, run: Range<usize>, len: usize, align: usize) -> Option<NonZeroUsize> {
        let mut start = run.start;
        if align > GRANULE {
            let offset = self.start / GRANULE;
            start = (start + offset).checked_next_multiple_of(align / GRANULE)? - offset;
        }
        let end = start.checked_add(len)?;
        if end > run.end || !self.claim_exactly(start..end) {
            return None;
        }
        self.note(run.start, start - run.start);
        NonZeroUsize::new(self.start + start * GRANULE)
    }

    /// Gives a hint: `len` free granules in a row start here.
    fn note(&self, start: usize, len: usize) {
        if len > 0 {
            let (class, index) = (class_of(len), start / WORD_BITS);
            set(&self.hints(class)[index / WORD_BITS], index % WORD_BITS);
            set(&self.classes, class);
        }
    }

    /// The hints of this class.
    #[inline]
    fn hints(&self, class: usize) -> &[AtomicUsize] {
        let words = words_for(self.count);
        self.table(words + class * words_for(words), words_for(words))
    }

    #[inline]
    fn table(&self, first: usize, words: usize) -> &[AtomicUsize] {
        // SAFETY: `create` made so many, and they stay (U2).
        unsafe { core::slice::from_raw_parts(self.tables.add(first).as_ptr(), words) }
    }
}

/// The region that a source begins with, which any number of contexts may make the first chunk of at a time (W2).
pub struct FirstChunk {
    /// The region, from a granule on.
    pub region: Region,
    /// Bytes of an area: so long is what lies before the granules of a chunk at the start of the region.
    area: usize,
}

impl FirstChunk {
    /// `None` if there is no such region, or it is too small.
    pub fn of<S: PageSource>(source: &S) -> Option<Self> {
        let region = source.first_region(Chunk::least_region_for(1))?;
        let inset = region.start.addr().get().wrapping_neg() % GRANULE;
        let size = region.size.checked_sub(inset)?;
        let area = tables_for(size / GRANULE).next_multiple_of(GRANULE);
        // SAFETY: inside the region.
        let region = Region { start: unsafe { region.start.add(inset) }, size };
        // One granule, and the last byte that is not used at the end of the address space.
        (size > area + GRANULE).then_some(FirstChunk { region, area })
    }

    /// Whether it is a part of `region`.
    pub fn is_in(&self, region: Region) -> bool {
        self.region.start.addr().get().wrapping_sub(region.start.addr().get()) < region.size
    }

    /// How many attempts there may be: half of the region is for blocks.
    pub fn most_attempts(&self) -> usize {
        (self.region.size / (2 * self.area)).max(1)
    }

    /// What an attempt makes a chunk of: its area and all behind it.
    pub fn part(&self, attempt: usize) -> Region {
        let offset = attempt * self.area;
        // SAFETY: an area inside the region.
        Region { start: unsafe { self.region.start.add(offset) }, size: self.region.size - offset }
    }

    /// The area of an attempt.
    pub fn area(&self, attempt: usize) -> Region {
        Region { size: self.area, ..self.part(attempt) }
    }

    /// Which granules of `chunk` the area of an attempt has, if it is not in front of it.
    pub fn area_in(&self, chunk: &Chunk, attempt: usize) -> Option<Range<usize>> {
        chunk.run_at(self.part(attempt).start.addr().get(), self.area / GRANULE)
    }
}

/// Sets a bit that is a hint; costs no write if it is set.
#[inline]
fn set(word: &AtomicUsize, bit: usize) {
    if word.load(Ordering::Relaxed) >> bit & 1 == 0 {
        word.fetch_or(1 << bit, Ordering::Relaxed);
    }
}

/// How many words the tables for `count` granules have.
const fn table_words(count: usize) -> usize {
    words_for(count) + CLASSES * words_for(words_for(count))
}

/// Bytes of a chunk and its tables for `count` granules.
const fn tables_for(count: usize) -> usize {
    size_of::<Chunk>() + table_words(count) * size_of::<AtomicUsize>()
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

/// The length of the shortest runs of a class, and of the shortest that are longer than those of the class.
const fn lens_of(class: usize) -> (usize, usize) {
    match class {
        ANY_CLASS => (1, usize::MAX),
        _ if class == CLASSES - 1 => (LONGEST, usize::MAX),
        _ => (shortest_of(class), shortest_of(class + 1)),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
