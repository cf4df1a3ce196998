//! [`DenseHeap`]: blocks side by side, each behind one word that says how long it is.
//!
//! *Role*: the heap for contexts that keep off each other: little code, and constant time. A free block joins its neighbours at once, and waits in a
//! bin of blocks of about its size. Or blocks that are freed are kept ready for the next request of about their size, until memory is short:
//! some dozen instructions then.
//!
//! | file | what it is |
//! |---|---|
//! | `exclusion.rs` | how contexts keep off each other |
//! | `dense_heap/open.rs` | allocating and freeing, by a context that is alone |
//! | `dense_heap/tag.rs` | what is known of a block |
//! | `dense_heap/bins.rs` | free blocks by size |
//!
//! *Concurrency*: none. The heap's work is inside [`Exclusion::alone`] (X1); the page source is called outside.
//!
//! *Bounds*: a free is constant. An allocation looks at 4 free blocks of a bin at most; but where no longer one is left, at all that may be long enough,
//! and before it asks the page source sends to the bins what is ready.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::misuse::Misuses;
use crate::small::exclusion::Exclusion;
use crate::small::small_stats::SmallStats;
use crate::small::words::WORD;
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource, RegionRequest};

mod bins;
mod open;
mod tag;

use open::{Open, Resized, Span, State, longest_for, size_for};
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

/// A heap whose blocks lie side by side, with memory from `S`, for contexts that `X` keeps off each other: plain memory, which needs no commit.
///
/// A block costs one word; it has room for a multiple of two words less that one, and for three at least. So requests of 12, 20, 28 bytes and so on
/// waste nothing on 32-bit targets. `READY` classes of blocks are kept ready: the first 16 are the smallest sizes, one each, and each eight more double
/// the size: 72 classes are all blocks below 16 KiB on 32-bit targets, 32 KiB on 64-bit ones. They take a word each. Regions stay with the heap for good.
/// All of a new value is zero but for the source and `X`.
pub struct DenseHeap<S: PageSource, X, const READY: usize = 0> {
    source: S,
    exclusion: X,
    state: UnsafeCell<State<READY>>,
    misuses: Misuses,
}

// SAFETY: the state is only reached inside `Exclusion::alone` (X1).
unsafe impl<S: PageSource, X: Exclusion + Sync, const READY: usize> Sync for DenseHeap<S, X, READY> {}

impl<S: PageSource, X: Exclusion, const READY: usize> DenseHeap<S, X, READY> {
    /// A heap that takes memory from `source`.
    pub const fn new(source: S, exclusion: X) -> Self {
        const { assert!(!S::COMMITS, "`DenseHeap` is for memory that needs no commit") };
        DenseHeap { source, exclusion, state: UnsafeCell::new(State::new()), misuses: Misuses::new() }
    }

    /// Allocates `layout.size()` bytes at `layout.align()`; `None` when no free block is long enough and the source refuses. Size 0 is served like 1.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let ready = if READY > 0 { self.open(|mut heap| heap.allocate_ready(layout)) } else { None };
        let room = ready.or_else(|| self.search(layout))?;
        NonNull::new(self.source.pointer_at(room.get()))
    }

    /// Like [`allocate`](Self::allocate), all bytes zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let pointer = self.allocate(layout)?;
        // SAFETY: a fresh block of at least this size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        Some(pointer)
    }

    /// Gives a block back. One that is free already, or has another layout, is a misuse, as far as the word before it shows that: a debug build
    /// panics; a release build counts it, and leaves the block alone.
    ///
    /// # Safety
    /// `pointer` came from this heap with this alignment and size, or was reallocated to it, and is not used any more.
    #[inline]
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        self.free(pointer.addr().get(), Some(layout));
    }

    /// [`deallocate`](Self::deallocate) for who does not know the layout; null does nothing.
    ///
    /// # Safety
    /// `pointer` is null, or came from this heap, and is not used any more.
    pub unsafe fn deallocate_unsized(&self, pointer: *mut u8) {
        if !pointer.is_null() {
            self.free(pointer.addr(), None);
        }
    }

    /// Changes a block's size: in place if it shrinks, or if what follows it is free, or is new memory; else by a copy. `None` leaves the block as
    /// it was.
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
        let room = pointer.addr().get();
        while room & (new_layout.align() - 1) == 0 {
            match self.open(|mut heap| heap.resize(block_of(room), layout, new_layout)) {
                Ok(Resized::InPlace) => return NonNull::new(self.source.pointer_at(room)),
                Ok(Resized::AtEnd(lacking)) if self.add_memory(lacking + Span::LEAST_LOST) => (),
                Ok(_) => break,
                Err(misuse) => {
                    self.misuses.report(misuse, room);
                    return None;
                }
            }
        }
        let target = self.allocate(new_layout)?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, layout.size().min(new_layout.size()));
            self.deallocate(pointer, layout);
        }
        Some(target)
    }

    /// How many bytes a block has room for: at least those that it was allocated with.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate), but that the block may be used on.
    pub unsafe fn usable_size(&self, pointer: NonNull<u8>) -> usize {
        self.open(|heap| heap.usable_size(block_of(pointer.addr().get())))
    }

    /// Whether this is an address in the heap's memory.
    pub fn contains(&self, pointer: *const u8) -> bool {
        self.open(|heap| heap.regions().any(|region| region.contains(pointer.addr())))
    }

    /// How the heap is doing. What is ready goes back to the bins first. Takes time in proportion to the number of blocks.
    pub fn stats(&self) -> SmallStats {
        self.open(|mut heap| {
            heap.flush();
            let mut stats = SmallStats { misuses: self.misuses.count(), ..SmallStats::default() };
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

    /// Sends what is ready to the bins, then gives up what is on OS pages where nothing else than free memory lies, if the source can
    /// [discard](PageSource::discard) it; returns how many bytes that were. Takes time in proportion to the number of blocks. While the source discards
    /// a part of a free block, nobody else can have that block.
    pub fn purge(&self) -> usize {
        self.open(|mut heap| heap.flush());
        if !S::DISCARDS {
            return 0;
        }
        let (mut bytes, mut taken) = (0, None);
        loop {
            taken = self.open(|mut heap| heap.take_out_next(taken));
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
        self.open(|heap| {
            let all = heap.regions().flat_map(|region| heap.blocks(region));
            let copied = all.skip(first).zip(blocks).map(|((block, tag), copy)| *copy = (block..block + tag.size(), tag.state()));
            copied.count()
        })
    }

    /// Panics if the heap's books are wrong: D1 to D4. For tests.
    pub fn assert_valid(&self) {
        self.open(|heap| heap.assert_valid());
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Takes a block from a bin, and sees to it that there is one.
    #[inline(never)]
    fn search(&self, layout: Layout) -> Option<NonZeroUsize> {
        let (size, align) = (size_for(layout.size()), layout.align());
        loop {
            if let Some(room) = self.open(|mut heap| heap.search(size, align)) {
                return Some(room);
            }
            // If there is no region that is long enough wherever it lies, one may be that lies well.
            let (enough, least) = (longest_for(size, align) + Span::MOST_LOST, size + Span::LEAST_LOST);
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
        let min_size = least.max(Span::SHORTEST);
        let (end, growth) = self.open(|heap| (heap.end(), heap.growth()));
        let request = RegionRequest { min_size, preferred_size: min_size.max(growth), preferred_align: GRANULE };
        let Some(region) = self.source.reserve(request) else { return self.open(|heap| heap.end()) != end };
        event!("{=usize} bytes from the page source", region.size);
        self.open(|mut heap| heap.add(region));
        true
    }

    #[inline(always)]
    fn free(&self, room: usize, layout: Option<Layout>) {
        if let Err(misuse) = self.open(|mut heap| heap.free(block_of(room), layout)) {
            self.misuses.report(misuse, room);
        }
    }

    #[inline(always)]
    fn open<R>(&self, work: impl FnOnce(Open<'_, S, READY>) -> R) -> R {
        self.exclusion.alone(|| {
            // SAFETY: X1: nobody else has it now.
            let state = unsafe { &mut *self.state.get() };
            work(Open::new(&self.source, state))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
