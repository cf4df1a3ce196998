//! Slices: the unit in which an arena's memory is handed out.
//!
//! *Role*: [`arena`](crate::pages::arena) claims runs of slices for pages, large blocks and metadata; this file knows which are free,
//! which are committed, and gives idle ones back to the page source.
//!
//! *Invariants*
//! - A1: whoever cleared a slice's bit in `free` owns the slice, until it is set again.
//! - A2: a slice's bit in `committed` is set while its memory may have been written since the source last gave it; if the
//!   source commits, memory is used only while it is set. It changes only while the slice is owned.
//! - A3: runs start and end at OS pages, if these are bigger than slices.
//! - A4: `aged` marks slices that were free and committed at the last call of [`purge`](Slices::purge) for aged ones; claiming
//!   clears it.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

use crate::base::bitmap::{Bitmap, Undone, next_run, words_for};
use crate::base::sync::{AtomicUsize, Ordering};
use crate::pages::geometry::{Geometry, LONG};
use crate::source::page_source::PageSource;

/// How many hints there are for where to look: for runs of 1, 2, 4 slices and so on.
const HINTS: usize = 8;

/// Most slices that a purge claims at a time, so that others find the rest meanwhile.
const PURGE_STEP: usize = 1024;

/// How many slices a run of at least `bytes` has. Always whole OS pages, so that each OS page has one owner, who commits it.
pub const fn run_for<S: PageSource, G: Geometry>(bytes: usize) -> usize {
    bytes.div_ceil(G::SLICE_SIZE).next_multiple_of(unit::<S, G>())
}

/// Slices that are handed out together: those of an OS page.
const fn unit<S: PageSource, G: Geometry>() -> usize {
    if S::OS_PAGE_SIZE > G::SLICE_SIZE { S::OS_PAGE_SIZE / G::SLICE_SIZE } else { 1 }
}

/// The slices of one arena.
pub struct Slices<G: Geometry> {
    /// Slice 0, with the provenance of the whole region.
    first: NonNull<u8>,
    /// How many the tables have room for.
    capacity: usize,
    /// How many there is memory for.
    count: AtomicUsize,
    /// How many at the end are left to metadata, as long as there are others.
    set_aside: usize,
    /// For each power of two: no free run of so many slices starts before this one. Hints.
    lowest: [AtomicUsize; HINTS],
    /// How often the source refused to commit a run that was free.
    refusals: AtomicUsize,
    undone: Undone,
    /// `free`, `committed` and `aged`, one after the other.
    tables: NonNull<AtomicUsize>,
    geometry: PhantomData<G>,
}

/// A run of slices that was claimed.
#[derive(Debug)]
pub struct ClaimedRun {
    /// Which slices.
    pub run: Range<usize>,
    /// Whether all of its memory is known to be zero.
    pub zeroed: bool,
}

impl<G: Geometry> Slices<G> {
    /// Words of tables needed for `capacity` slices.
    pub const fn table_words(capacity: usize) -> usize {
        3 * words_for(capacity)
    }

    /// # Safety
    /// `first` is slice 0 of a region, aligned to the slice size and the OS page; `tables` are `table_words(capacity)` zeroed words that stay.
    pub unsafe fn new(first: NonNull<u8>, capacity: usize, set_aside: usize, tables: NonNull<AtomicUsize>) -> Self {
        let (count, lowest) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; HINTS]);
        let (refusals, undone) = (AtomicUsize::new(0), Undone::new());
        Slices { first, capacity, set_aside, count, lowest, refusals, undone, tables, geometry: PhantomData }
    }

    /// Adds memory for slices up to `count`; only one context at a time, with no less than before. The count is in no order: who claims a slice
    /// sees by its bit in `free` that there is memory for it.
    pub fn extend_to<S: PageSource>(&self, count: usize) {
        let count = count.min(self.capacity) / unit::<S, G>() * unit::<S, G>();
        let old = self.count.swap(count, Ordering::Relaxed);
        // No hint lies behind it, so none has to change.
        self.free().release(old..count);
    }

    /// How many slices there is memory for.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many slices there can ever be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Address of slice 0.
    pub fn start(&self) -> usize {
        self.first.addr().get()
    }

    /// The slice that this address lies in, if it lies in one.
    #[inline]
    pub fn index_of(&self, address: usize) -> Option<usize> {
        let index = address.wrapping_sub(self.start()) / G::SLICE_SIZE;
        (index < self.count()).then_some(index)
    }

    /// Where this slice starts.
    pub fn pointer(&self, index: usize) -> NonNull<u8> {
        debug_assert!(index < self.capacity);
        // SAFETY: inside the region that `first` points into.
        unsafe { self.first.add(index * G::SLICE_SIZE) }
    }

    /// Claims a run of `len` slices ([`run_for`]) that starts at a multiple of `align` bytes, and makes its memory usable. `None` if
    /// there is no such run, or the source refuses to commit it.
    pub fn claim<S: PageSource>(&self, source: &S, len: usize, align: usize) -> Option<ClaimedRun> {
        let align = (align / G::SLICE_SIZE).max(unit::<S, G>());
        let offset = (self.start() / G::SLICE_SIZE) & (align - 1);
        let free = self.free();
        let run = free
            .first(self.count().saturating_sub(self.set_aside))
            .claim_run(self.search_from(len), len, align, offset, G::FIT_CANDIDATES)
            // There is more at the end, and a hint may have passed slices that were released since.
            .or_else(|| free.claim_run(0, len, align, offset, G::FIT_CANDIDATES))?;
        self.make_usable(source, run)
    }

    /// Where to begin to look for a run of `len` slices.
    fn search_from(&self, len: usize) -> usize {
        let shift = (len.max(1).ilog2() as usize).min(HINTS - 1);
        let hint = self.lowest[shift].load(Ordering::Relaxed);
        let Some(found) = self.free().next_run_of(hint, 1 << shift) else { return hint };
        let _ = self.lowest[shift].compare_exchange(hint, found, Ordering::Relaxed, Ordering::Relaxed);
        found
    }

    /// Notes that these slices are free now, and make one run with those around them.
    fn note_free(&self, run: Range<usize>) {
        let around = self.free().around(run, 1 << (HINTS - 1));
        for (shift, lowest) in self.lowest.iter().enumerate() {
            if around.len() >> shift != 0 && lowest.load(Ordering::Relaxed) > around.start {
                lowest.fetch_min(around.start, Ordering::Relaxed);
            }
        }
    }

    /// Claims the run of `len` slices at the highest address, else like [`claim`](Self::claim). Passes the free runs above it that are too short.
    pub fn claim_last<S: PageSource>(&self, source: &S, len: usize, align: usize) -> Option<ClaimedRun> {
        let align = (align / G::SLICE_SIZE).max(unit::<S, G>());
        let offset = (self.start() / G::SLICE_SIZE) & (align - 1);
        let free = self.free();
        let mut to = self.count();
        while let Some(run) = free.previous_run(to, len + align) {
            // The highest start that is aligned.
            let start = run.end.checked_sub(len).map(|start| ((start + offset) & !(align - 1)).wrapping_sub(offset));
            match start.filter(|start| run.contains(start)) {
                Some(start) if free.claim(start..start + len) => return self.make_usable(source, start..start + len),
                // Others were faster: the rest of the run is looked at again.
                Some(start) => to = start + len - 1,
                None => to = run.start,
            }
        }
        None
    }

    /// Claims exactly this run, like [`claim`](Self::claim).
    pub fn claim_exactly<S: PageSource>(&self, source: &S, run: Range<usize>) -> Option<ClaimedRun> {
        self.free().claim(run.clone()).then_some(())?;
        self.make_usable(source, run)
    }

    /// Gives an owned run back; false if part of it was free already.
    pub fn release(&self, run: Range<usize>) -> bool {
        let owned = self.free().release(run.clone());
        self.note_free(run);
        owned
    }

    /// Gives an owned run back, and if it is long its memory to the source.
    pub fn release_to<S: PageSource>(&self, source: &S, run: Range<usize>) {
        if S::DECOMMITS && run.len() >= LONG / G::SLICE_SIZE {
            self.decommit(source, run.clone());
        }
        self.release(run);
    }

    /// Gives the memory of free slices back to the source: all of them, or those that were free at the last call for aged ones
    /// and still are; about `most` bytes. Returns how many bytes.
    pub fn purge<S: PageSource>(&self, source: &S, only_aged: bool, most: usize) -> usize {
        if !S::DECOMMITS {
            return 0;
        }
        let (free, committed, aged) = (self.free(), self.committed(), self.aged());
        let idle = |index| free.snapshot(index) & committed.snapshot(index);
        let due = |index| if only_aged { idle(index) & aged.snapshot(index) } else { idle(index) };
        let (mut bytes, mut from) = (0, 0);
        while let Some(run) = next_run(self.count(), from, due).filter(|_| bytes < most) {
            let run = run.start..run.end.min(run.start + PURGE_STEP);
            from = run.end;
            if free.claim(run.clone()) {
                // Another context may have decommitted some of it before the claim.
                let (mut rest, before) = (run.clone(), bytes);
                while let Some(part) = committed.next_run(rest.start).filter(|part| part.start < rest.end) {
                    let part = part.start..part.end.min(rest.end);
                    rest.start = part.end;
                    bytes += self.decommit(source, part);
                }
                self.release(run);
                if bytes == before {
                    self.undone.note();
                }
            }
        }
        if only_aged {
            from = 0;
            while let Some(run) = next_run(self.count(), from, idle) {
                from = run.end;
                aged.release(run);
            }
        }
        bytes
    }

    /// How often the source refused to commit a run that was free.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// How often free slices were claimed for nothing.
    pub fn undone(&self) -> &Undone {
        &self.undone
    }

    /// Slices that are free.
    pub fn free(&self) -> Bitmap<'_> {
        self.table(0).counting(&self.undone)
    }

    /// Slices whose memory may have been written.
    pub fn committed(&self) -> Bitmap<'_> {
        self.table(1)
    }

    fn aged(&self) -> Bitmap<'_> {
        self.table(2)
    }

    /// Commits what is not committed of an owned run, or gives the run back.
    fn make_usable<S: PageSource>(&self, source: &S, run: Range<usize>) -> Option<ClaimedRun> {
        let committed = self.committed();
        self.aged().clear(run.clone());
        let untouched = committed.is_clear(run.clone());
        if S::COMMITS {
            let mut at = run.start;
            while at < run.end {
                let next = committed.first(run.end).next_run(at).unwrap_or(run.end..run.end);
                let gap = at..next.start;
                if !gap.is_empty() && !self.commit(source, gap.clone()) {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                    self.release(run);
                    self.undone.note();
                    return None;
                }
                committed.release(gap);
                at = next.end;
            }
        } else {
            committed.release(run.clone());
        }
        let zeroed = untouched && S::FRESH_IS_ZERO && (S::DECOMMITTED_IS_ZERO || !S::DECOMMITS);
        Some(ClaimedRun { run, zeroed })
    }

    fn commit<S: PageSource>(&self, source: &S, run: Range<usize>) -> bool {
        // SAFETY: owned slices (A1) of one region, whole OS pages (A3).
        unsafe { source.commit(self.pointer(run.start), run.len() * G::SLICE_SIZE) }
    }

    /// Decommits an owned run; returns how many bytes.
    fn decommit<S: PageSource>(&self, source: &S, run: Range<usize>) -> usize {
        let bytes = run.len() * G::SLICE_SIZE;
        // SAFETY: owned slices (A1) of one region, whole OS pages (A3).
        if !unsafe { source.decommit(self.pointer(run.start), bytes) } {
            return 0;
        }
        self.committed().clear(run);
        bytes
    }

    fn table(&self, index: usize) -> Bitmap<'_> {
        let words = words_for(self.capacity);
        // SAFETY: `new` was given the words of three tables, which stay.
        let table = unsafe { core::slice::from_raw_parts(self.tables.add(index * words).as_ptr(), words) };
        Bitmap::new(table, self.capacity)
    }
}

#[cfg(test)]
mod tests;
