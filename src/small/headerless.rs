//! [`HeaderlessHeap`] and its engine, [`Headerless`]: blocks side by side, and nothing between them.
//!
//! *Role*: the heap for contexts that keep off each other and name a block's layout when they free it: memory for blocks and for nothing else. What
//! is free is joined with its neighbours, and the run that fits best is taken. While half of the memory is free, small blocks that are freed are
//! kept ready for the next request of their size: some dozen instructions then.
//!
//! | file | what it is |
//! |---|---|
//! | `exclusion.rs` | how contexts keep off each other |
//! | `headerless/alone.rs` | allocating and freeing, by a context that is alone |
//! | `headerless/ready.rs` | small blocks that were freed, ready to be allocated again |
//! | `headerless/bins.rs` | free runs by length |
//! | `headerless/chunk.rs` | a region, and where its free runs are |
//!
//! *Concurrency*: none. The engine's work is done alone ([`Guarded`], X1), in short steps; the page source is called outside.
//!
//! *Bounds*: where a block is ready, or may be, some 35 or 20 instructions. A free looks at the marks of a few cards, at most 64 in each. So does an
//! allocation, and at the bins, and at 32 long runs at most. Before the source is asked for memory what is ready goes home, three blocks at a time, and
//! where a long or aligned run may have been missed, the cards are looked at, one at a time. So are they for a report. Contexts that wait for each other
//! wait for one such step: it does not take longer where there is more memory, but for a block's region, which is looked for among all.

use core::alloc::Layout;
use core::num::NonZeroUsize;

use crate::base::events::event;
use crate::base::misuse::Misuse;
use crate::small::exclusion::{Exclusion, Guarded};
use crate::small::stats::SmallStats;
use crate::small::words::{WORD, Words};
use crate::small::{Changed, Engine, EngineHeap, Target};
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource, RegionRequest};

mod alone;
mod bins;
mod chunk;
mod ready;

pub use alone::Headerless;
use alone::{Alone, len_for};
use bins::longest_for;
use chunk::Chunk;

/// Blocks' addresses and lengths are multiples of this.
const GRANULE: usize = 2 * WORD;
/// The shortest block, in bytes: it has room for a mark at each end, and two links, while it is free.
const LEAST: usize = 2 * GRANULE;

/// A block of at most so many bytes is moved when its size changes, to where it fits best: that keeps memory denser than to cut or extend it. Bigger ones
/// stay where they are if they can.
const MOVED: usize = 64 * 1024;

/// A heap that keeps nothing for a block, with memory from `S`, for contexts that `X` keeps off each other.
///
/// Every free names the block's layout: there is no `usable_size`. A block has a multiple of two words, and four words at least. For each 64 granules of
/// two words there is one byte (0.2 % on 32-bit targets), and three words for each region, of which at most 128 MiB are used there.
///
/// A debug build sees a block that is free already, or of no region. A release build does if the block is not to be ready, and its free run begins or
/// ends nearby. A wrong size is never seen. A block of up to 64 KiB whose size changes is copied to where it fits, if that is free, and else changed in
/// place; bigger ones the other way round.
///
/// It allocates, frees, changes sizes and reports as every [`EngineHeap`] does; what is named here it does beside.
pub type HeaderlessHeap<S, X> = EngineHeap<S, Guarded<Headerless, X>>;

// SAFETY: F1 to F4: a block is out of all lists from when it is allocated until it is freed.
unsafe impl<S: PageSource, X: Exclusion> Engine<S> for Guarded<Headerless, X> {
    #[inline]
    fn allocate(heap: &EngineHeap<S, Self>, layout: Layout) -> Option<NonZeroUsize> {
        heap.take_ready(layout).or_else(|| heap.search(layout))
    }

    #[inline]
    unsafe fn free(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout) -> Result<(), Misuse> {
        if cfg!(debug_assertions) {
            heap.alone(|heap| heap.check(block.get()))?;
        }
        heap.alone(|heap| heap.free(block.get(), layout.size()))
    }

    unsafe fn change(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout, new_layout: Layout) -> Changed {
        let (old_size, new_size) = (layout.size(), new_layout.size());
        if cfg!(debug_assertions) {
            heap.alone(|heap| heap.check(block.get()))?;
        }
        let is_aligned = block.get() & (new_layout.align() - 1) == 0;
        if is_aligned && len_for(old_size) == len_for(new_size) {
            return Ok(Some(Target::Same));
        }
        let is_small = old_size.max(new_size) <= MOVED;
        let elsewhere = || heap.take_ready(new_layout).or_else(|| heap.alone(|heap| heap.allocate(new_layout)));
        let in_place = || is_aligned && heap.alone(|heap| heap.resize(block.get(), old_size, new_size)) == Ok(true);
        Ok(match if is_small { elsewhere() } else { None } {
            None if in_place() => Some(Target::Same),
            None => heap.search(new_layout).map(Target::Other),
            Some(block) => Some(Target::Other(block)),
        })
    }

    fn contains(heap: &EngineHeap<S, Self>, address: usize) -> bool {
        heap.alone(|heap| heap.chunks().any(|chunk| chunk.contains(heap.words, address)))
    }

    /// In short steps.
    fn stats(heap: &EngineHeap<S, Self>) -> SmallStats {
        let mut list = 0;
        while heap.alone(|heap| heap.flush(&mut list)) {}
        let (mut largest_free_run, mut cursor) = (0, None);
        loop {
            largest_free_run = largest_free_run.max(heap.alone(|heap| heap.longest_from(&mut cursor)));
            if cursor.is_none() {
                break;
            }
        }
        let (capacity, free) = heap.alone(|heap| heap.capacity_and_free());
        SmallStats { capacity, used: capacity - free, largest_free_run, ..SmallStats::default() }
    }

    /// F1 to F4.
    fn assert_valid(heap: &EngineHeap<S, Self>) {
        heap.alone(|heap| heap.assert_valid());
    }
}

impl<S: PageSource, X: Exclusion> HeaderlessHeap<S, X> {
    /// A heap that takes memory from `source`.
    pub const fn new(source: S, exclusion: X) -> Self {
        Self::of(source, Guarded::new(Headerless::new(), exclusion))
    }

    /// A block that is ready, if one is.
    #[inline(always)]
    fn take_ready(&self, layout: Layout) -> Option<NonZeroUsize> {
        let size = layout.size();
        if layout.align() <= GRANULE { self.alone(move |heap| heap.take_ready(size)) } else { None }
    }

    /// Takes a block out of the run that fits best. While none is found, sends home what is ready, list by list, then looks at all cards if a run may have
    /// been missed, then asks for memory: step by step, so that contexts that wait for each other do not wait long.
    #[cold]
    #[inline(never)]
    fn search(&self, layout: Layout) -> Option<NonZeroUsize> {
        let (mut list, mut may_miss) = (0, false);
        loop {
            // The doubt is of this moment: other contexts change the heap between the steps.
            let found = self.alone(|heap| heap.allocate(layout).ok_or_else(|| heap.may_miss(layout)));
            match found {
                Ok(block) => return Some(block),
                Err(doubt) => may_miss |= doubt,
            }
            if self.alone(|heap| heap.flush(&mut list)) {
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
        let mut cursor = None;
        loop {
            let found = self.alone(|heap| heap.allocate_from(&mut cursor, layout));
            if found.is_some() || cursor.is_none() {
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
        let request = RegionRequest {
            min_size,
            preferred_size: min_size.max(before / 4),
            preferred_align: GRANULE,
            is_for_one_block: false,
        };
        let Some(region) = self.source.reserve(request) else { return self.capacity() != before };
        event!("{=usize} bytes from the page source", region.size);
        // One that is too short, as it does not lie well, stays unused.
        if let Some(chunk) = Chunk::create(Words(&self.source), region) {
            self.alone(|heap| heap.add(chunk));
        }
        true
    }

    /// Bytes in all regions' granules.
    #[inline(never)]
    fn capacity(&self) -> usize {
        self.alone(|heap| heap.capacity_and_free().0)
    }

    #[inline(always)]
    fn alone<R>(&self, work: impl FnOnce(&mut Alone<'_, S>) -> R) -> R {
        self.engine.alone(|state| work(&mut Alone::new(&self.source, state)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
