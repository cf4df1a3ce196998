//! [`SmallHeap`] and its engine, [`Granules`]: a block is a run of granules in one bitmap.
//!
//! *Role*: for any context, in regions that pages, each for one block size, would use up. A free knows how long the block is by its
//! `Layout`, so nothing is kept for a block. All the metadata is one bit for each 8 bytes, and hints (together 2.3 % on 32-bit targets).
//!
//! | file | what it is |
//! |---|---|
//! | `granules/ready.rs` | small blocks that were freed last, ready to be allocated again |
//! | `granules/chunk.rs` | a region, and which of its granules are free |
//!
//! *Concurrency*: no lock. Any context may call at any time, also while it interrupts another call. Where the target has no compare-and-swap
//! that takes the feature `critical-section`; without it contexts cannot share the heap: it is not `Sync`.
//!
//! *Bounds*: most small blocks are ready: some 20 instructions. Else an allocation looks at the few words that have a hint, and, before it
//! gives up, at all of them; a free, and a resize in place, at those of the block and of 2 KiB around it.

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::misuse::Misuse;
use crate::base::size_class::GRANULE;
use crate::base::sync::{AtomicUsize, NeedsCompareAndSwapOrTheFeatureCriticalSection, Ordering, const_but_in_models};
use crate::small::stats::SmallStats;
use crate::small::{Changed, Engine, EngineHeap, Target};
use crate::source::newest::{Newest, Overtaken};
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource, Region, RegionRequest};

mod chunk;
mod ready;

use chunk::{Chunk, FirstChunk};
use ready::Ready;

/// Blocks of more than this part of the memory are never ready, so that what waits for its own size is little.
const READY_PART: usize = 128;
/// After memory was short no blocks are ready for so many frees, so that free granules come together.
const SHORTAGE: usize = 32;

/// A heap for some KiB and for any context, interrupts included; nothing is masked and nothing waits.
///
/// Every free names the block's layout: there is no `usable_size`. A block that is free already, and one of no region, is seen when it is to go into the
/// bitmap, by a debug build always.
///
/// It allocates, frees, changes sizes and reports as every [`EngineHeap`] does; what is named here it does beside.
pub type SmallHeap<S> = EngineHeap<S, Granules>;

/// Runs of granules. All zero when new.
pub struct Granules {
    /// The newest chunk; each leads to the one before.
    newest: Newest<Chunk>,
    ready: Ready,
    /// How many more frees memory is taken to be short for.
    shortage: AtomicUsize,
    #[allow(dead_code)] // It is there for its type.
    shared: NeedsCompareAndSwapOrTheFeatureCriticalSection,
}

// SAFETY: U1 to U4: a block's granules are claimed by one context, and stay so until it frees them.
unsafe impl<S: PageSource> Engine<S> for Granules {
    #[inline]
    fn allocate(heap: &SmallHeap<S>, layout: Layout) -> Option<NonZeroUsize> {
        let ready = if layout.align() <= GRANULE { heap.engine.ready.take(layout.size()) } else { None };
        ready.or_else(|| heap.search(layout))
    }

    #[inline]
    unsafe fn free(heap: &SmallHeap<S>, block: NonZeroUsize, layout: Layout) -> Result<(), Misuse> {
        if cfg!(debug_assertions) {
            heap.engine.check(block, layout.size())?;
        }
        if let Some(block) = heap.engine.ready.put(layout.size(), block) {
            heap.release_freed(block, layout.size());
        }
        Ok(())
    }

    unsafe fn change(heap: &SmallHeap<S>, block: NonZeroUsize, layout: Layout, new_layout: Layout) -> Changed {
        if heap.engine.resize(block, layout, new_layout)? {
            return Ok(Some(Target::Same));
        }
        Ok(Self::allocate(heap, new_layout).map(Target::Other))
    }

    fn contains(heap: &SmallHeap<S>, address: usize) -> bool {
        heap.engine.chunks().any(|chunk| chunk.run_at(address / GRANULE * GRANULE, 1).is_some())
    }

    fn stats(heap: &SmallHeap<S>) -> SmallStats {
        heap.flush();
        let mut stats = SmallStats::default();
        for chunk in heap.engine.chunks() {
            let (mut from, mut free) = (0, 0);
            while let Some(run) = chunk.free().next_run(from) {
                stats.largest_free_run = stats.largest_free_run.max(run.len() * GRANULE);
                free += run.len();
                from = run.end;
            }
            stats.capacity += chunk.count() * GRANULE;
            stats.used += (chunk.count() - free) * GRANULE;
        }
        stats
    }

    /// U4.
    fn assert_valid(heap: &SmallHeap<S>) {
        let engine = &heap.engine;
        let mut ready = 0;
        for (block, size) in engine.ready.blocks() {
            assert!(engine.claimed(block, size).is_ok(), "a ready block at {block:#x} is free as well");
            let overlaps =
                |other: &(NonZeroUsize, usize)| other.0.get() < block.get() + size && block.get() < other.0.get() + other.1;
            assert_eq!(engine.ready.blocks().filter(overlaps).count(), 1, "ready blocks overlap at {block:#x}");
            ready += size;
        }
        let used = |chunk: &Chunk| (chunk.count() - chunk.free().count()) * GRANULE;
        assert!(engine.chunks().map(used).sum::<usize>() >= ready, "more blocks are ready than claimed");
    }
}

impl<S: PageSource> SmallHeap<S> {
    const_but_in_models! {
        /// A heap that takes memory from `source`.
        pub fn new(source: S) -> Self {
            let (newest, shortage) = (Newest::new(), AtomicUsize::new(0));
            let shared = NeedsCompareAndSwapOrTheFeatureCriticalSection::new();
            Self::of(source, Granules { newest, ready: Ready::new(), shortage, shared })
        }
    }

    /// Changes a block's size where it lies: false, if there is no room, or it is not aligned to that, leaves it as it was. `None` for what is no
    /// block of this heap: a misuse.
    ///
    /// # Safety
    /// As for [`reallocate`](Self::reallocate).
    pub unsafe fn resize(&self, pointer: NonNull<u8>, layout: Layout, new_layout: Layout) -> Option<bool> {
        let resized = self.engine.resize(pointer.addr(), layout, new_layout);
        resized.map_err(|misuse| self.misuses.report(misuse, pointer.addr().get())).ok()
    }

    /// How many of the bytes from `start` to `end` are in blocks, ready ones among them, or the heap's own: for a picture of the heap. Takes
    /// time in proportion to their number.
    pub fn used_between(&self, start: *const u8, end: *const u8) -> usize {
        let free: usize = self.engine.chunks().map(|chunk| chunk.free_between(start.addr(), end.addr())).sum();
        end.addr().saturating_sub(start.addr()).saturating_sub(free * GRANULE)
    }

    /// Claims a block's granules, and sees to it that there are some; returns the block's address.
    #[cold]
    #[inline(never)]
    fn search(&self, layout: Layout) -> Option<NonZeroUsize> {
        let (len, align) = (granules(layout.size()), layout.align());
        loop {
            let newest = self.engine.newest.get();
            let found = self.engine.chunks().find_map(|chunk| chunk.claim(len, align)).or_else(|| {
                event!("short of memory: {=usize} bytes at {=usize}", layout.size(), align);
                // In this order: another context that counts the last free of the shortage before lets blocks be ready again.
                self.engine.ready.set_limit(0);
                self.engine.shortage.store(SHORTAGE, Ordering::Relaxed);
                self.flush();
                self.engine.chunks().find_map(|chunk| chunk.claim_anywhere(len, align))
            });
            // Another context may have added a chunk meanwhile.
            if found.is_some() || !self.add_chunk(layout) && self.engine.newest.get() == newest {
                return found;
            }
        }
    }

    /// Releases a block that the program frees, and counts that while memory is short. Out of line with its report: nothing is left to do behind it.
    #[inline(never)]
    fn release_freed(&self, block: NonZeroUsize, size: usize) {
        self.release(block, size);
        let shortage = self.engine.shortage.load(Ordering::Relaxed);
        if shortage > 0 {
            // A free that another context counts at the same moment does not matter.
            self.engine.shortage.store(shortage - 1, Ordering::Relaxed);
            if shortage == 1 {
                self.engine.limit_ready();
            }
        }
    }

    /// Releases the granules of an owned block, if it is one.
    fn release(&self, block: NonZeroUsize, size: usize) {
        match self.engine.claimed(block, size) {
            Ok((chunk, run)) => chunk.release(run),
            Err(misuse) => self.misuses.report(misuse, block.get()),
        }
    }

    /// Sends all ready blocks home.
    fn flush(&self) {
        self.engine.ready.drain().for_each(|(block, size)| self.release(block, size));
    }

    /// Adds a region with room for a block of this layout, or one that may have; false if the source refuses.
    fn add_chunk(&self, layout: Layout) -> bool {
        loop {
            if self.engine.newest.get().is_null()
                && let Some(first) = FirstChunk::of(&self.source)
            {
                return self.add_first(first);
            }
            let Some(region) = self.reserve(layout) else { return false };
            // The source is only asked for its first region while the heap has none: what it answers with, it keeps for the heap.
            if self.engine.newest.get().is_null()
                && let Some(first) = FirstChunk::of(&self.source)
            {
                // It came meanwhile.
                if first.is_in(region) {
                    continue;
                }
                self.add_first(first);
            }
            // It is the heap's already, unless the heap began before there was one.
            if self.engine.chunks().any(|chunk| region.holds(core::ptr::from_ref(chunk).addr())) {
                continue;
            }
            event!("{=usize} bytes from the page source", region.size);
            return Chunk::create(region).is_some_and(|chunk| {
                self.push(chunk);
                true
            });
        }
    }

    /// Gets a region in which the block fits wherever that starts; else one in which it may fit.
    fn reserve(&self, layout: Layout) -> Option<Region> {
        let surely = Chunk::region_for(layout.size(), layout.align());
        let perhaps = (layout.align() <= ALIGNED_BY_CHANCE).then(|| Chunk::least_region_for(layout.size()));
        // A quarter of what there is, so that regions are few.
        let growth = self.engine.chunks().map(Chunk::count).sum::<usize>() / 4 * GRANULE;
        core::iter::once(surely).chain(perhaps).filter(|size| *size <= isize::MAX as usize).find_map(|min_size| {
            self.source.reserve(RegionRequest {
                min_size,
                preferred_size: min_size.max(growth),
                preferred_align: GRANULE,
                is_for_one_block: false,
            })
        })
    }

    /// Makes the first chunk, beside other contexts that do. False if there are too many of them.
    fn add_first(&self, first: FirstChunk) -> bool {
        let Some(attempt) = self.engine.newest.begin(first.most_attempts()) else { return !self.engine.newest.get().is_null() };
        // There is room for it.
        let Some(chunk) = Chunk::create(first.part(attempt)) else { return false };
        // SAFETY: made just now, and it stays (U2).
        let made = unsafe { chunk.as_ref() };
        let mut attempts = attempt + 1;
        loop {
            match self.engine.newest.publish(chunk.as_ptr(), attempts) {
                Ok(()) => {
                    event!("{=usize} bytes from the page source", first.region.size);
                    self.engine.limit_ready();
                    return true;
                }
                // Later attempts write in areas that are granules of this chunk.
                Err(Overtaken::By(now)) => {
                    for run in (attempts..now).filter_map(|later| first.area_in(made, later)) {
                        let is_claimed = made.claim_exactly(run);
                        debug_assert!(is_claimed, "nobody has this chunk yet");
                    }
                    attempts = now;
                }
                Err(Overtaken::Lost) => break,
            }
        }
        // The area of this attempt comes home: into the chunk, or as one of its own in front of it.
        let oldest = self.engine.chunks().last();
        match oldest.and_then(|oldest| Some((oldest, first.area_in(oldest, attempt)?))) {
            Some((oldest, run)) => oldest.release(run),
            None => Chunk::create(first.area(attempt)).into_iter().for_each(|chunk| self.push(chunk)),
        }
        true
    }

    /// Makes this chunk the heap's.
    #[inline(never)]
    fn push(&self, chunk: NonNull<Chunk>) {
        // SAFETY: made just now, and not shared yet.
        self.engine.newest.push(chunk.as_ptr(), |before| unsafe { (*chunk.as_ptr()).next.store(before, Ordering::Relaxed) });
        self.engine.limit_ready();
    }
}

impl Granules {
    /// Changes a block's size where it lies; false if there is no room, or it is not aligned to that.
    fn resize(&self, block: NonZeroUsize, layout: Layout, new_layout: Layout) -> Result<bool, Misuse> {
        let (old, new) = (granules(layout.size()), granules(new_layout.size()));
        let (chunk, run) = self.claimed(block, layout.size())?;
        if !block.get().is_multiple_of(new_layout.align()) {
            return Ok(false);
        }
        if new < old {
            chunk.release(run.start + new..run.end);
        }
        Ok(new <= old || chunk.claim_exactly(run.end..run.start + new))
    }

    /// Lets blocks be ready, in proportion to the memory there is.
    #[inline(never)]
    fn limit_ready(&self) {
        let granules: usize = self.chunks().map(Chunk::count).sum();
        self.ready.set_limit(granules * GRANULE / READY_PART);
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        // SAFETY: U2; `get` shows all that lead on from the newest.
        let follow = |chunk: *mut Chunk| unsafe { chunk.as_ref() };
        core::iter::successors(follow(self.newest.get()), move |chunk| follow(chunk.next.load(Ordering::Relaxed)))
    }

    /// The granules of a block, and the chunk that they are in. It is a misuse if it is free, or not of this heap.
    fn claimed(&self, block: NonZeroUsize, size: usize) -> Result<(&Chunk, Range<usize>), Misuse> {
        let found = self.chunks().find_map(|chunk| Some((chunk, chunk.run_at(block.get(), granules(size))?)));
        let (chunk, run) = found.ok_or(Misuse::Foreign)?;
        if chunk.free().is_clear(run.clone()) { Ok((chunk, run)) } else { Err(Misuse::DoubleFree) }
    }

    /// Whether the program can have this block.
    fn check(&self, block: NonZeroUsize, size: usize) -> Result<(), Misuse> {
        self.claimed(block, size)?;
        if self.ready.blocks().any(|(ready, _)| ready == block) { Err(Misuse::DoubleFree) } else { Ok(()) }
    }
}

/// How many granules a block of so many bytes has.
#[inline(always)]
fn granules(size: usize) -> usize {
    size.max(1).div_ceil(GRANULE)
}

#[cfg(all(test, not(loom)))]
mod tests;
