//! [`HeaderlessHeap`]: blocks side by side, and nothing between them.
//!
//! *Role*: the heap for contexts that keep off each other and name a block's layout when they free it: memory for blocks and for nothing else. What
//! is free is joined with its neighbours, and the run that fits best is taken. While half of the memory is free, small blocks that are freed are
//! kept ready for the next request of their size: some dozen instructions then.
//!
//! | file | what it is |
//! |---|---|
//! | `exclusion.rs` | how contexts keep off each other |
//! | `headerless_heap/open.rs` | allocating and freeing, by a context that is alone |
//! | `headerless_heap/ready.rs` | small blocks that were freed, ready to be allocated again |
//! | `headerless_heap/bins.rs` | free runs by length |
//! | `headerless_heap/chunk.rs` | a region, and where its free runs are |
//!
//! *Concurrency*: none. The heap's work is inside [`Exclusion::alone`] (X1), in short steps; the page source is called outside.
//!
//! *Bounds*: where a block is ready, or may be, some 35 or 20 instructions. A free looks at the marks of a few cards, at most 64 in each. So does an
//! allocation, and at the bins, and at 32 long runs at most. Before the source is asked for memory what is ready goes home, three blocks at a time, and
//! where a long or aligned run may have been missed, the cards are looked at, one at a time. So are they for a report. Contexts that wait for each other
//! wait for one such step: it does not take longer where there is more memory, but for a block's region, which is looked for among all.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::misuse::Misuses;
use crate::small::exclusion::Exclusion;
use crate::small::small_stats::SmallStats;
use crate::small::words::{WORD, Words};
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource, RegionRequest};

mod bins;
mod chunk;
mod open;
mod ready;

use bins::longest_for;
use chunk::Chunk;
use open::{Open, State, len_for};

/// Blocks' addresses and lengths are multiples of this.
const GRANULE: usize = 2 * WORD;
/// The shortest block, in bytes: it has room for a mark at each end, and two links, while it is free.
const LEAST: usize = 2 * GRANULE;

/// A block of at most so many bytes is moved when its size changes, to where it fits best: that keeps memory denser than to cut or extend it. Bigger ones
/// stay where they are if they can.
const MOVED: usize = 64 * 1024;

/// A heap that keeps nothing for a block, with memory from `S`, for contexts that `X` keeps off each other: plain memory, which needs no commit.
///
/// Every free names the block's layout: there is no `usable_size`. A block has a multiple of two words, and four words at least. For each 64 granules of
/// two words there is one byte (0.2 % on 32-bit targets), and three words for each region, of which at most 128 MiB are used there. Regions stay with
/// the heap for good. All of a new value is zero but for the source and `X`.
#[repr(C)] // The source may be big: what a fast path reaches is in front.
pub struct HeaderlessHeap<S: PageSource, X> {
    state: UnsafeCell<State>,
    exclusion: X,
    misuses: Misuses,
    source: S,
}

// SAFETY: the state is only reached inside `Exclusion::alone` (X1).
unsafe impl<S: PageSource, X: Exclusion + Sync> Sync for HeaderlessHeap<S, X> {}

impl<S: PageSource, X: Exclusion> HeaderlessHeap<S, X> {
    /// A heap that takes memory from `source`.
    pub const fn new(source: S, exclusion: X) -> Self {
        const { assert!(!S::COMMITS, "`HeaderlessHeap` is for memory that needs no commit") };
        HeaderlessHeap { source, exclusion, state: UnsafeCell::new(State::new()), misuses: Misuses::new() }
    }

    /// Allocates `layout.size()` bytes at `layout.align()`; `None` when no free run is long enough and the source refuses. Size 0 is served like 1.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let block = self.take_ready(layout).or_else(|| self.search(layout))?;
        NonNull::new(self.source.pointer_at(block.get()))
    }

    /// Like [`allocate`](Self::allocate), all bytes zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let pointer = self.allocate(layout)?;
        // SAFETY: a fresh block of at least this size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        Some(pointer)
    }

    /// Gives a block back. A block that is free already, and one of no region, is a misuse: a debug build panics. A release build counts it, and leaves
    /// the block alone, if that is not to be ready, and its free run begins or ends nearby; else it does not see it. A wrong size is never seen.
    ///
    /// # Safety
    /// `pointer` came from this heap with this alignment and size, or was reallocated to it, and is not used any more.
    #[inline]
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        let block = pointer.addr().get();
        if cfg!(debug_assertions) {
            self.check(block);
        }
        if let Err(misuse) = self.open(|heap| heap.free(block, layout.size())) {
            self.misuses.report(misuse, block);
        }
    }

    /// Changes a block's size. Up to 64 KiB it is copied to where it fits, if that is free, and else changed in place; bigger blocks the other way round.
    /// A block that shrinks always can. `None` leaves the block as it was.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate). After success the old pointer is not used any more, and the block has the new size.
    pub unsafe fn reallocate(&self, pointer: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        let new_layout = Layout::from_size_align(new_size, layout.align()).ok()?;
        // SAFETY: the caller's promise.
        unsafe { self.change_layout(pointer, layout, new_layout) }
    }

    /// [`reallocate`](Self::reallocate) to any layout.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn change_layout(&self, pointer: NonNull<u8>, layout: Layout, new_layout: Layout) -> Option<NonNull<u8>> {
        let (block, old_size, new_size) = (pointer.addr().get(), layout.size(), new_layout.size());
        if cfg!(debug_assertions) {
            self.check(block);
        }
        let is_aligned = block & (new_layout.align() - 1) == 0;
        if is_aligned && len_for(old_size) == len_for(new_size) {
            return Some(pointer);
        }
        let is_small = old_size.max(new_size) <= MOVED;
        let elsewhere = || self.take_ready(new_layout).or_else(|| self.open(|heap| heap.allocate(new_layout)));
        let in_place = || is_aligned && self.open(|heap| heap.resize(block, old_size, new_size)) == Ok(true);
        let target = match if is_small { elsewhere() } else { None } {
            Some(target) => target,
            None if in_place() => return NonNull::new(self.source.pointer_at(block)),
            None => self.search(new_layout)?,
        };
        let target = NonNull::new(self.source.pointer_at(target.get()))?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, old_size.min(new_size));
            self.deallocate(pointer, layout);
        }
        Some(target)
    }

    /// Whether this is an address in the heap's memory.
    pub fn contains(&self, pointer: *const u8) -> bool {
        self.open(|heap| heap.chunks().any(|chunk| chunk.contains(heap.words, pointer.addr())))
    }

    /// How the heap is doing. What is ready goes home first. Takes time in proportion to its size, in short steps: what other contexts do in between is
    /// seen in part.
    pub fn stats(&self) -> SmallStats {
        let mut list = 0;
        while self.open(|heap| heap.flush(&mut list)) {}
        let (mut largest_free_run, mut place) = (0, None);
        loop {
            largest_free_run = largest_free_run.max(self.open(|heap| heap.longest_from(&mut place)));
            if place.is_none() {
                break;
            }
        }
        let (capacity, free) = self.open(|heap| heap.capacity_and_free());
        SmallStats { capacity, used: capacity - free, largest_free_run, misuses: self.misuses.count() }
    }

    /// Panics if the heap's books are wrong: F1 to F4. For tests.
    pub fn assert_valid(&self) {
        self.open(|heap| heap.assert_valid());
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A block that is ready, if one is.
    #[inline(always)]
    fn take_ready(&self, layout: Layout) -> Option<NonZeroUsize> {
        if layout.align() <= GRANULE { self.open(|heap| heap.take_ready(layout.size())) } else { None }
    }

    /// Takes a block out of the run that fits best. While none is found, sends home what is ready, list by list, then looks at all cards if a run may have
    /// been missed, then asks for memory: step by step, so that contexts that wait for each other do not wait long.
    #[cold]
    #[inline(never)]
    fn search(&self, layout: Layout) -> Option<NonZeroUsize> {
        let (mut list, mut may_miss) = (0, false);
        loop {
            // The doubt is of this moment: other contexts change the heap between the steps.
            let found = self.open(|heap| heap.allocate(layout).ok_or_else(|| heap.may_miss(layout)));
            match found {
                Ok(block) => return Some(block),
                Err(doubt) => may_miss |= doubt,
            }
            if self.open(|heap| heap.flush(&mut list)) {
                continue;
            }
            if may_miss && let Some(block) = self.search_cards(layout) {
                return Some(block);
            }
            // If there is no region that is long enough wherever it lies, one may be that lies well.
            let len = len_for(layout.size());
            let enough = Chunk::region_for(longest_for(len, layout.align()))?;
            let is_rare = layout.align() > ALIGNED_BY_CHANCE;
            if !self.add_chunk(enough) && (is_rare || !self.add_chunk(Chunk::least_region_for(len))) {
                return None;
            }
        }
    }

    /// Takes a block out of any run in which it has room.
    fn search_cards(&self, layout: Layout) -> Option<NonZeroUsize> {
        let mut place = None;
        loop {
            let found = self.open(|heap| heap.allocate_from(&mut place, layout));
            if found.is_some() || place.is_none() {
                return found;
            }
        }
    }

    /// Gets a region of so many bytes, or more; false if the source refuses, and no other context has got one meanwhile.
    #[inline(never)]
    fn add_chunk(&self, min_size: usize) -> bool {
        event!("short of memory: {=usize} bytes", min_size);
        let before = self.capacity();
        // A quarter of what there is, so that regions are few.
        let request = RegionRequest { min_size, preferred_size: min_size.max(before / 4), preferred_align: GRANULE };
        let Some(region) = self.source.reserve(request) else { return self.capacity() != before };
        event!("{=usize} bytes from the page source", region.size);
        // One that is too short, as it does not lie well, stays unused.
        if let Some(chunk) = Chunk::create(Words(&self.source), region) {
            self.open(|heap| heap.add(chunk));
        }
        true
    }

    /// Bytes in all regions' granules.
    #[inline(never)]
    fn capacity(&self) -> usize {
        self.open(|heap| heap.capacity_and_free().0)
    }

    /// Reports a block that the program cannot have.
    fn check(&self, block: usize) {
        if let Err(misuse) = self.open(|heap| heap.check(block)) {
            self.misuses.report(misuse, block);
        }
    }

    #[inline(always)]
    fn open<R>(&self, work: impl FnOnce(&mut Open<'_, S>) -> R) -> R {
        self.exclusion.alone(|| {
            // SAFETY: X1: nobody else has it now.
            let state = unsafe { &mut *self.state.get() };
            work(&mut Open::new(&self.source, state))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
