//! [`SmallHeap`]: for some KiB. No size classes, no pages, no magazines: a block is a run of granules in one bitmap.
//!
//! *Role*: the other heap of this crate, for regions that pages, each for one block size, would use up. A free knows how long the block is by its
//! `Layout`, so nothing is kept for a block; one bit for each 8 bytes is all the metadata (1.6 %).
//!
//! *Invariants*
//! - U1: whoever cleared a granule's bit owns the granule, until the bit is set again.
//! - U2: a chunk lies at the start of its region, is published once and stays.
//!
//! *Concurrency*: no lock. Any context may call at any time, also while it interrupts another call.
//!
//! *Bounds*: an allocation looks at each word of the bitmaps twice at most; a free, or a resize in place, at those of the block.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use crate::bitmap::{Bitmap, words_for};
use crate::global::no_unwind;
use crate::misuse::{Misuse, Misuses};
use crate::page_source::{PageSource, Region, RegionRequest};
use crate::size_class::GRANULE;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// Most free runs that an allocation compares, to take the shortest.
const CANDIDATES: usize = 32;

/// A heap without size classes, for regions of some KiB, with memory from `S`: plain memory, which needs no commit.
///
/// It differs from a [`Heap`](crate::Heap) in that every free names the block's layout: there is no `usable_size`. Its regions stay with it for
/// good. `new` is `const`, needs no memory, and all of the value is zero.
pub struct SmallHeap<S: PageSource> {
    source: S,
    /// The newest chunk; each leads to the one before.
    newest: AtomicPtr<Chunk>,
    misuses: Misuses,
}

/// A region: this, the words of its bitmap, its granules.
struct Chunk {
    next: AtomicPtr<Chunk>,
    words: NonNull<AtomicUsize>,
    /// Address of granule 0.
    start: usize,
    count: usize,
    /// No granule before this one is free: a hint.
    lowest: AtomicUsize,
}

/// How a [`SmallHeap`] is doing, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SmallStats {
    /// In the heap's regions, but for its metadata.
    pub capacity: usize,
    /// In live blocks.
    pub used: usize,
    /// In the longest run of free granules: the biggest block that could be had.
    pub largest_free_run: usize,
    /// How many mistakes of the program were seen; see [`Misuse`].
    pub misuses: usize,
}

impl<S: PageSource> SmallHeap<S> {
    /// A heap that takes memory from `source`.
    pub const fn new(source: S) -> Self {
        const { assert!(!S::COMMITS, "`SmallHeap` is for memory that needs no commit") };
        SmallHeap { source, newest: AtomicPtr::new(null_mut()), misuses: Misuses::new() }
    }

    /// Allocates `layout.size()` bytes at `layout.align()`; `None` when there is no such run, and the source refuses. Size 0 is served like 1.
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let len = granules(layout.size());
        loop {
            let newest = self.newest.load(Ordering::Acquire);
            if let Some(address) = self.chunks().find_map(|chunk| chunk.claim(len, layout.align())) {
                return NonNull::new(self.source.pointer_at(address));
            }
            // Another context may have added one meanwhile.
            if !self.add_chunk(layout) && self.newest.load(Ordering::Acquire) == newest {
                return None;
            }
        }
    }

    /// Like [`allocate`](Self::allocate), all bytes zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let pointer = self.allocate(layout)?;
        // SAFETY: a fresh block of at least this size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        Some(pointer)
    }

    /// Gives a block back. A block that is free already, and one of no region, is a misuse: a debug build panics, a release build leaves it alone
    /// and counts it.
    ///
    /// # Safety
    /// `pointer` came from this heap with this alignment and size, or was reallocated to it, and is not used any more.
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        let address = pointer.addr().get();
        match self.chunk_of(address, granules(layout.size())) {
            Some((chunk, first)) if chunk.free().is_clear(first..first + granules(layout.size())) => {
                chunk.release(first, granules(layout.size()));
            }
            Some(_) => self.misuses.report(Misuse::DoubleFree, address),
            None => self.misuses.report(Misuse::Foreign, address),
        }
    }

    /// Changes a block's size: in place if it shrinks, or if what follows it is free; else by a copy. `None` leaves the block as it was.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate). After success the old pointer is not used any more, and the block has the new size.
    pub unsafe fn reallocate(&self, pointer: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        let new_layout = Layout::from_size_align(new_size, layout.align()).ok()?;
        let (old, new) = (granules(layout.size()), granules(new_size));
        let Some((chunk, first)) = self.chunk_of(pointer.addr().get(), old) else {
            self.misuses.report(Misuse::Foreign, pointer.addr().get());
            return None;
        };
        if new < old {
            chunk.release(first + new, old - new);
        }
        // The granules that follow; `claim` refuses what lies beyond the last.
        if new <= old || chunk.free().claim(first + old..first + new) {
            return NonNull::new(self.source.pointer_at(pointer.addr().get()));
        }
        let target = self.allocate(new_layout)?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, layout.size());
            self.deallocate(pointer, layout);
        }
        Some(target)
    }

    /// How the heap is doing. Takes time in proportion to its size.
    pub fn stats(&self) -> SmallStats {
        let mut stats = SmallStats { misuses: self.misuses.count(), ..SmallStats::default() };
        for chunk in self.chunks() {
            let (mut from, mut free) = (0, 0);
            while let Some(run) = chunk.free().next_run(from) {
                stats.largest_free_run = stats.largest_free_run.max(run.len() * GRANULE);
                free += run.len();
                from = run.end;
            }
            stats.capacity += chunk.count * GRANULE;
            stats.used += (chunk.count - free) * GRANULE;
        }
        stats
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Adds a region with room for a block of this layout, and perhaps others that are too small on the way; false if the source refuses.
    fn add_chunk(&self, layout: Layout) -> bool {
        let bytes = granules(layout.size()).checked_mul(GRANULE).and_then(|bytes| bytes.checked_add(layout.align()));
        // The bitmap, and what is lost at both ends.
        let tables =
            |bytes: usize| bytes.checked_add(bytes / 32)?.checked_add(size_of::<Chunk>() + 4 * align_of::<Chunk>() + GRANULE);
        let Some(min_size) = bytes.and_then(tables).filter(|size| *size <= isize::MAX as usize) else { return false };
        let request = RegionRequest { min_size, preferred_size: min_size, preferred_align: GRANULE };
        let Some(chunk) = self.source.reserve(request).and_then(Chunk::create) else { return false };
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: made just now, and not shared yet.
            unsafe { (*chunk.as_ptr()).next.store(newest, Ordering::Relaxed) };
            match self.newest.compare_exchange_weak(newest, chunk.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => newest = now,
            }
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        // SAFETY: U2.
        let follow = |link: &AtomicPtr<Chunk>| unsafe { link.load(Ordering::Acquire).as_ref() };
        core::iter::successors(follow(&self.newest), move |chunk| follow(&chunk.next))
    }

    /// The chunk in which `len` granules lie from this address on, and the first of them.
    fn chunk_of(&self, address: usize, len: usize) -> Option<(&Chunk, usize)> {
        self.chunks().find_map(|chunk| {
            let offset = address.wrapping_sub(chunk.start);
            let first = offset / GRANULE;
            let is_inside = offset.is_multiple_of(GRANULE) && first < chunk.count && len <= chunk.count - first;
            is_inside.then_some((chunk, first))
        })
    }
}

/// How many granules a block of so many bytes has.
fn granules(size: usize) -> usize {
    size.max(1).div_ceil(GRANULE)
}

impl Chunk {
    /// Makes a chunk in `region`; `None` if that is too small for a granule.
    fn create(region: Region) -> Option<NonNull<Chunk>> {
        let start = region.start.addr().get();
        // Without its last byte where it ends at the end of the address space, so that no address wraps around.
        let end = start + region.size.min(usize::MAX - start);
        let table = start.checked_next_multiple_of(align_of::<Chunk>())?.checked_add(size_of::<Chunk>())?;
        let words = words_for(end.checked_sub(table)? / GRANULE);
        let first = table.checked_add(words * size_of::<AtomicUsize>())?.checked_next_multiple_of(GRANULE)?;
        let count = end.checked_sub(first)? / GRANULE;
        if count == 0 {
            return None;
        }
        region.start.as_ptr().expose_provenance();
        // SAFETY: all inside the region, which is the heap's, and aligned: words are no bigger than what a chunk is aligned to.
        unsafe {
            let words_start = region.start.add(table - start).cast::<AtomicUsize>();
            words_start.write_bytes(0, words);
            let chunk = words_start.cast::<Chunk>().sub(1);
            let (next, lowest) = (AtomicPtr::new(null_mut()), AtomicUsize::new(0));
            chunk.write(Chunk { next, words: words_start, start: first, count, lowest });
            chunk.as_ref().free().release(0..count);
            Some(chunk)
        }
    }

    /// The free granules.
    fn free(&self) -> Bitmap<'_> {
        // SAFETY: `create` made so many, and they stay (U2).
        Bitmap::new(unsafe { core::slice::from_raw_parts(self.words.as_ptr(), words_for(self.count)) }, self.count)
    }

    /// Claims `len` granules that start at a multiple of `align` bytes; returns their address.
    fn claim(&self, len: usize, align: usize) -> Option<usize> {
        let align = (align / GRANULE).max(1);
        let offset = (self.start / GRANULE) & (align - 1);
        let hint = self.lowest.load(Ordering::Relaxed);
        let run = self.free().claim_run(hint, len, align, offset, CANDIDATES);
        // The hint may have passed granules that were released since.
        let run = run.or_else(|| if hint > 0 { self.free().claim_run(0, len, align, offset, CANDIDATES) } else { None })?;
        if run.start == hint {
            let _ = self.lowest.compare_exchange(hint, run.end, Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(self.start + run.start * GRANULE)
    }

    /// Releases owned granules (U1).
    fn release(&self, first: usize, len: usize) {
        self.free().release(first..first + len);
        self.lowest.fetch_min(first, Ordering::Relaxed);
    }
}

// SAFETY: a heap hands out blocks that fit the layout, overlap no other, and stay until they are given back.
unsafe impl<S: PageSource> GlobalAlloc for SmallHeap<S> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwind(|| self.allocate(layout)).map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; a block is never at null.
        no_unwind(|| unsafe { self.deallocate(NonNull::new_unchecked(pointer), layout) });
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`.
        let moved = no_unwind(|| unsafe { self.reallocate(NonNull::new_unchecked(pointer), layout, new_size) });
        moved.map_or(null_mut(), NonNull::as_ptr)
    }
}
