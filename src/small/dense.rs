//! [`DenseHeap`] and its engine, [`Dense`]: blocks side by side, each behind one word that says how long it is.
//!
//! *Role*: the heap for contexts that keep off each other: little code, and constant time. A free block joins its neighbours at once, and waits in a
//! bin of blocks of about its size. Or blocks that are freed are kept ready for the next request of about their size, until memory is short:
//! some dozen instructions then.
//!
//! | file | what it is |
//! |---|---|
//! | `exclusion.rs` | how contexts keep off each other |
//! | `dense/alone.rs` | allocating and freeing, by a context that is alone |
//! | `dense/tag.rs` | what is known of a block |
//! | `dense/bins.rs` | free blocks by size |
//! | `dense/alone/taken_out.rs` | free blocks whose OS pages are given up |
//!
//! *Concurrency*: none. The engine's work is done alone ([`Guarded`], X1); the page source is called outside.
//!
//! *Bounds*: a free is constant. An allocation looks at 4 free blocks of a bin at most; but where no longer one is left, at all that may be long enough,
//! and before it asks the page source sends to the bins what is ready.

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::misuse::Misuse;
use crate::small::exclusion::{Exclusion, Guarded};
use crate::small::stats::SmallStats;
use crate::small::words::WORD;
use crate::small::{Changed, Engine, EngineHeap, Target};
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource, RegionRequest};

mod alone;
mod bins;
mod tag;

pub use alone::Dense;
use alone::{Alone, DenseRegion, Resized, longest_for, size_for};
use tag::{GRANULE, Tag, block_of};

/// Whose a block of a [`DenseHeap`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// The program's.
    Used,
    /// Nobody's: it was freed, and is ready for the next request of about its size.
    Ready,
    /// Nobody's: it can be cut, and joined with others.
    Free,
}

/// A heap whose blocks lie side by side, with memory from `S`, for contexts that `X` keeps off each other; free without a layout, and little code.
///
/// A block costs one word; it has room for a multiple of two words less that one, and for three at least. So requests of 12, 20, 28 bytes and so on
/// waste nothing on 32-bit targets. `READY` classes of blocks are kept ready: the first 16 are the smallest sizes, one each, and each eight more double
/// the size: 72 classes are all blocks below 16 KiB on 32-bit targets, 32 KiB on 64-bit ones. They take a word each.
///
/// A block that is free already, or has another layout, is seen as far as the word before it shows that. Where the source
/// [joins](PageSource::JOINS) regions, the last block grows into new memory.
///
/// It allocates, frees, changes sizes and reports as every [`EngineHeap`] does; what is named here it does beside.
pub type DenseHeap<S, X, const READY: usize = 0> = EngineHeap<S, Guarded<Dense<READY>, X>>;

// SAFETY: D1 to D5: a block is out of all lists from when it is allocated until it is freed.
unsafe impl<S: PageSource, X: Exclusion, const READY: usize> Engine<S> for Guarded<Dense<READY>, X> {
    #[inline]
    fn allocate(heap: &EngineHeap<S, Self>, layout: Layout) -> Option<NonZeroUsize> {
        let ready = if READY > 0 { heap.alone(|mut heap| heap.allocate_ready(layout)) } else { None };
        ready.or_else(|| heap.search(layout))
    }

    #[inline]
    unsafe fn free(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout) -> Result<(), Misuse> {
        heap.alone(|mut heap| heap.free(block_of(block.get()), Some(layout)))
    }

    unsafe fn change(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout, new_layout: Layout) -> Changed {
        while block.get() & (new_layout.align() - 1) == 0 {
            match heap.alone(|mut heap| heap.resize(block_of(block.get()), layout, new_layout))? {
                Resized::InPlace => return Ok(Some(Target::Same)),
                Resized::AtEnd(lacking) if heap.add_memory(lacking + DenseRegion::LEAST_LOST) => (),
                _ => break,
            }
        }
        Ok(Self::allocate(heap, new_layout).map(Target::Other))
    }

    fn contains(heap: &EngineHeap<S, Self>, address: usize) -> bool {
        heap.alone(|heap| heap.regions().any(|region| region.contains(address)))
    }

    fn stats(heap: &EngineHeap<S, Self>) -> SmallStats {
        heap.alone(|mut heap| {
            heap.flush();
            let mut stats = SmallStats::default();
            for region in heap.regions() {
                for (_, tag) in heap.blocks(region) {
                    stats.capacity += tag.size();
                    if tag.is(Tag::FREE) {
                        stats.largest_free_run = stats.largest_free_run.max(tag.size() - WORD);
                    } else {
                        stats.used += tag.size();
                    }
                }
            }
            stats
        })
    }

    /// D1 to D4.
    fn assert_valid(heap: &EngineHeap<S, Self>) {
        heap.alone(|heap| heap.assert_valid());
    }
}

impl<S: PageSource, X: Exclusion, const READY: usize> DenseHeap<S, X, READY> {
    /// A heap that takes memory from `source`.
    pub const fn new(source: S, exclusion: X) -> Self {
        Self::of(source, Guarded::new(Dense::new(), exclusion))
    }

    /// [`deallocate`](Self::deallocate) for who does not know the layout; null does nothing.
    ///
    /// # Safety
    /// `pointer` is null, or came from this heap, and is not used any more.
    pub unsafe fn deallocate_unsized(&self, pointer: *mut u8) {
        if let Some(block) = NonZeroUsize::new(pointer.addr())
            && let Err(misuse) = self.alone(|mut heap| heap.free(block_of(block.get()), None))
        {
            self.misuses.report(misuse, block.get());
        }
    }

    /// How many bytes a block has room for: at least those that it was allocated with.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate), but that the block may be used on.
    pub unsafe fn usable_size(&self, pointer: NonNull<u8>) -> usize {
        self.alone(|heap| heap.usable_size(block_of(pointer.addr().get())))
    }

    /// Sends what is ready to the bins, then gives up what is on OS pages where nothing else than free memory lies, if the source can
    /// [discard](PageSource::discard) it; returns how many bytes that were. Takes time in proportion to the number of blocks. While the source discards
    /// a part of a free block, nobody else can have that block.
    pub fn purge(&self) -> usize {
        self.alone(|mut heap| heap.flush());
        if !S::DISCARDS {
            return 0;
        }
        let (mut bytes, mut taken) = (0, None);
        loop {
            taken = self.alone(|mut heap| heap.take_out_next(taken));
            let Some((start, size)) = taken.as_ref().and_then(|taken| taken.pages(S::OS_PAGE_SIZE)) else { return bytes };
            if let Some(start) = NonNull::new(self.source.pointer_at(start)) {
                // SAFETY: whole OS pages of a region, inside a block that is this context's for the moment.
                bytes += if unsafe { self.source.discard(start, size) } { size } else { 0 };
            }
        }
    }

    /// Copies to `blocks` which blocks there are, from number `first` on, region by region in the order of their addresses: for a picture of the
    /// heap. Returns how many were copied: if fewer than there is room for, these are the last. Changes nothing, and takes time in proportion to the number
    /// of blocks up to there, as the heap counts them anew each time.
    pub fn copy_blocks(&self, first: usize, blocks: &mut [(Range<usize>, BlockState)]) -> usize {
        self.alone(|heap| {
            let all = heap.regions().flat_map(|region| heap.blocks(region));
            let copied = all.skip(first).zip(blocks).map(|((block, tag), copy)| *copy = (block..block + tag.size(), tag.state()));
            copied.count()
        })
    }

    /// Takes a block from a bin, and sees to it that there is one.
    #[inline(never)]
    fn search(&self, layout: Layout) -> Option<NonZeroUsize> {
        let (size, align) = (size_for(layout.size()), layout.align());
        loop {
            if let Some(block) = self.alone(|mut heap| heap.search(size, align)) {
                return Some(block);
            }
            // If there is no region that is long enough wherever it lies, one may be that lies well.
            let (enough, least) = (longest_for(size, align) + DenseRegion::MOST_LOST, size + DenseRegion::LEAST_LOST);
            if !self.add_memory(enough) && (align > ALIGNED_BY_CHANCE || !self.add_memory(least)) {
                return None;
            }
        }
    }

    /// Gets a region of so many bytes, or more; false if the source refuses, and no other context has got one meanwhile.
    #[cold]
    #[inline(never)]
    fn add_memory(&self, least: usize) -> bool {
        event!("short of memory: {=usize} bytes", least);
        let min_size = least.max(DenseRegion::SHORTEST);
        let (end, growth) = self.alone(|heap| (heap.end(), heap.growth()));
        let request =
            RegionRequest { min_size, preferred_size: min_size.max(growth), preferred_align: GRANULE, is_for_one_block: false };
        let Some(region) = self.source.reserve(request) else { return self.alone(|heap| heap.end()) != end };
        event!("{=usize} bytes from the page source", region.size);
        self.alone(|mut heap| heap.add(region));
        true
    }

    #[inline(always)]
    fn alone<R>(&self, work: impl FnOnce(Alone<'_, S, READY>) -> R) -> R {
        self.engine.alone(|state| work(Alone::new(&self.source, state)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
