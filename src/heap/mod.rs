//! The heap: what the program calls.
//!
//! *Role*: the interface, and the fast path: [`Heap::allocate`] and [`Heap::deallocate`] are a class and a pop or a push. The slow path
//! is in the other files of this folder.
//!
//! May use: `base`, `source`, `pages`, `cores`.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | the interface and the fast path |
//! | `refill.rs` | between magazines and pages |
//! | `shortage.rs` | the last search before null |
//! | `large.rs` | large blocks |
//! | `waiting.rs` | those that wait in magazines |
//! | `reclaim.rs` | giving memory back |
//! | `fall.rs` | when it goes back at once |
//! | `stats.rs` | the heap report |
//! | `runs.rs` | what lies where |
//!
//! *Invariant* H1: a block is of the class of the `Layout` its owner holds now, or stands in for one (S5). So a free with a `Layout`
//! needs no look-up: the block goes to the magazine of that class, and finds its page by address when it is flushed. Owners who hold no
//! `Layout` use the functions named `_unsized`, which look the class up.
//!
//! *Concurrency*: no lock. Every function may be called from any context that the [`CoreLocal`] allows, also while
//! another call on the same core is interrupted: nothing is held that it could wait for.

mod fall;
pub mod large;
pub mod reclaim;
pub mod refill;
pub mod runs;
pub mod shortage;
pub mod stats;
pub mod waiting;

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use crate::base::block::Block;
use crate::base::misuse::{Misuse, Misuses};
use crate::base::size_class::SizeClass;
use crate::base::sync::AtomicUsize;
use crate::cores::core_local::CoreLocal;
use crate::heap::fall::Fall;
use crate::pages::arenas::Arenas;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;
use crate::pages::region_blocks::RegionBlocks;
use crate::source::page_source::PageSource;

/// An allocator: memory from `S`, core heaps by `C`, sizes by `G`.
///
/// `new` is `const` and needs no memory; everything is made on first use, from the page source (but for what the [`CoreLocal`] takes from
/// its platform, as [`Leased`](crate::Leased) does). Dropping a heap releases
/// all its regions, if the source can, and so ends every block at once.
pub struct Heap<S: PageSource, C: CoreLocal, G: Geometry> {
    source: S,
    cores: C,
    arenas: Arenas<G>,
    region_blocks: RegionBlocks,
    misuses: Misuses,
    /// Slices of arenas in use, as many as blocks have that have a region each, and the most of both there ever were.
    slices_used: AtomicUsize,
    slices_apart: AtomicUsize,
    slices_peak: AtomicUsize,
    next_purge_ms: AtomicUsize,
    fall: Fall,
}

// The fast path.
impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// A heap that takes memory from `source` and keeps its core heaps in `cores`.
    pub const fn new(source: S, cores: C) -> Self {
        const { G::VALID };
        const {
            assert!(!(C::SHARED && C::QUICK_FIRST), "who shares magazines pops and pushes in one way");
        }
        let [slices_used, slices_apart, slices_peak] = [const { AtomicUsize::new(0) }; 3];
        let next_purge_ms = AtomicUsize::new(0);
        let region_blocks = RegionBlocks::new();
        Heap {
            source,
            cores,
            arenas: Arenas::new(),
            region_blocks,
            misuses: Misuses::new(),
            slices_used,
            slices_apart,
            slices_peak,
            next_purge_ms,
            fall: Fall::new(),
        }
    }

    /// Allocates `layout.size()` bytes at `layout.align()`; `None` when the source refuses and nothing can be reclaimed.
    ///
    /// Size 0 is served like size 1. A handful of instructions while the core's magazine has a block; else a bounded search
    /// through page bitmaps, and at worst a call to the page source.
    #[inline(always)]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let Some(class) = G::class_of(layout.size(), layout.align()) else { return self.allocate_large(layout, false) };
        // SAFETY: a class of this geometry.
        unsafe { self.allocate_ready(class).or_else(|| self.allocate_missed(class)) }
    }

    /// A block of this class if this core has one ready. It is what [`allocate`](Self::allocate) tries first, for callers who have a shorter
    /// way from a request to its class, and [`allocate_missed`](Self::allocate_missed) for the rest.
    ///
    /// # Safety
    /// The class is one that this heap's geometry has.
    #[inline(always)]
    pub unsafe fn allocate_ready(&self, class: SizeClass) -> Option<NonNull<u8>> {
        if !G::HAS_MAGAZINES {
            return None;
        }
        // SAFETY: `G` is this heap's geometry; the caller's promise.
        Some(self.hand_out(unsafe { self.cores.pop::<G>(class) }?))
    }

    /// Gives a block back. Needs no look-up: as fast as [`allocate`](Self::allocate).
    ///
    /// A debug build panics when the block is not this heap's, not of this layout, or free already.
    ///
    /// # Safety
    /// `pointer` came from this heap and is not used any more; `layout` fits it: the alignment it was allocated with, and the requested
    /// size or the usable one.
    #[inline(always)]
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        let Some(class) = G::class_of(layout.size(), layout.align()) else { return self.deallocate_large(pointer.addr().get()) };
        if cfg!(debug_assertions) && !self.check_free(pointer.addr().get(), class) {
            return;
        }
        // SAFETY: the program gives the block up.
        self.give(class, unsafe { Block::from_address(pointer.addr()) });
    }

    /// Puts a block of this class into the magazine, or what the magazine cannot hold into its page.
    #[inline(always)]
    fn give(&self, class: SizeClass, mut block: Block) {
        if G::HAS_MAGAZINES {
            // SAFETY: `G` is this heap's geometry, and the block is of this class (H1).
            match unsafe { self.cores.push::<G>(class, block) } {
                Ok(()) => return,
                Err(back) => block = back,
            }
        }
        self.give_missed(class, block);
    }

    /// A block of this class, after [`allocate_ready`](Self::allocate_ready) had none. Both together are [`allocate`](Self::allocate).
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn allocate_missed(&self, class: SizeClass) -> Option<NonNull<u8>> {
        if G::HAS_MAGAZINES && C::QUICK_FIRST { self.allocate_alone(class) } else { self.refill(class) }
    }

    #[inline(never)]
    fn allocate_alone(&self, class: SizeClass) -> Option<NonNull<u8>> {
        // SAFETY: `G` is this heap's geometry; alone on the magazine.
        match unsafe { self.cores.alone::<G, _, _>((), |heap, ()| heap.magazine(class).pop()) } {
            Ok(Some(block)) => Some(self.hand_out(block)),
            _ => self.refill(class),
        }
    }

    /// The quickest way to the magazine had no room.
    #[inline(always)]
    fn give_missed(&self, class: SizeClass, block: Block) {
        if G::HAS_MAGAZINES && C::QUICK_FIRST { self.give_alone(class, block) } else { self.flush(class, block) }
    }

    #[inline(never)]
    fn give_alone(&self, class: SizeClass, block: Block) {
        // SAFETY: `G` is this heap's geometry, and the block is of this class (H1); alone on the magazine.
        let pushed = unsafe { self.cores.alone::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)) };
        if let Err(block) = pushed.flatten() {
            self.flush(class, block);
        }
    }

    /// A block as the program gets it.
    #[inline(always)]
    pub(crate) fn hand_out(&self, block: Block) -> NonNull<u8> {
        self.pointer_at(block.address())
    }
}

// The rest of the interface.
impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// Like [`allocate`](Self::allocate), all bytes zero. Memory that is known to be zero is not cleared again.
    #[inline]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        if G::class_of(layout.size(), layout.align()).is_none() {
            return self.allocate_large(layout, true);
        }
        let pointer = self.allocate(layout)?;
        // SAFETY: a fresh block of at least this size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        Some(pointer)
    }

    /// Gives a block back whose layout is not known: C's `free`. Null does nothing. One look-up in the page table.
    ///
    /// A pointer into no page of this heap is a misuse: a debug build panics, a release build ignores it and counts it. One into the middle
    /// of a block is seen by a debug build only.
    ///
    /// # Safety
    /// `pointer` is null, or came from this heap and is not used any more.
    #[inline]
    pub unsafe fn deallocate_unsized(&self, pointer: *mut u8) {
        let Some(address) = NonZeroUsize::new(pointer.addr()) else { return };
        // What is no page may be a large block, or a mistake.
        let Some(class) = self.arenas.class_of(address.get()) else { return self.deallocate_large(address.get()) };
        if cfg!(debug_assertions) && !self.check_free(address.get(), class) {
            return;
        }
        // SAFETY: the program gives the block up.
        self.give(class, unsafe { Block::from_address(address) });
    }

    /// Gives a block back whose layout is not known, if this core has room ready for it; else it does nothing, and says so. Where arenas
    /// are found by a map it is what [`deallocate_unsized`](Self::deallocate_unsized) mostly comes down to, for callers who leave the rest
    /// to a function of theirs; in a debug build that is everything.
    ///
    /// # Safety
    /// As there, if true comes back.
    #[inline(always)]
    pub unsafe fn deallocate_ready(&self, pointer: *mut u8) -> bool {
        if !G::HAS_MAGAZINES || cfg!(debug_assertions) {
            return false;
        }
        let Some(class) = self.arenas.class_at_home(pointer.addr()) else { return false };
        // SAFETY: an arena has this address, so it is not null; `G` is this heap's geometry; the program gives the block up, or keeps it as it was.
        unsafe { self.cores.push_if::<G>(class, Block::from_address(NonZeroUsize::new_unchecked(pointer.addr()))) }.is_ok()
    }

    /// Changes a block's size, in place where it can: within a size class always, from 1 KiB on where less than a third becomes waste, large
    /// blocks by slices, or by moving memory pages if the source can; else by a copy. `None` leaves the old block as it was.
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
        let class_of = |layout: Layout| G::class_of(layout.size(), layout.align());
        let old_class = class_of(layout);
        if cfg!(debug_assertions) && old_class.is_some_and(|class| !self.check_free(pointer.addr().get(), class)) {
            return None;
        }
        match (old_class, class_of(new_layout)) {
            (Some(old), Some(new)) if self.can_stay(pointer.addr().get(), old, new, new_layout.align()) => {
                return Some(self.pointer_at(pointer.addr().get()));
            }
            (None, None) if pointer.addr().get().is_multiple_of(new_layout.align()) => {
                if let Some(resized) = self.reallocate_large(pointer.addr().get(), layout, new_layout) {
                    return resized;
                }
            }
            _ => {}
        }
        let target = self.allocate(new_layout)?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, layout.size().min(new_layout.size()));
            self.deallocate(pointer, layout);
        }
        Some(target)
    }

    /// Whether a block of class `old`, or that stands in for one, can be one of class `new` where it is.
    fn can_stay(&self, address: usize, old: SizeClass, new: SizeClass, align: usize) -> bool {
        let stands_in = || self.arenas.class_of(address).is_some_and(|own| own.stands_in_for(new));
        address.is_multiple_of(align) && (old == new || stands_in())
    }

    /// [`change_layout`](Self::change_layout) of a block whose layout is not known: C's `realloc`. The block stays where it is if it is aligned
    /// as asked and less than half of it becomes waste. A pointer to no block of this heap is a misuse, and `None`.
    ///
    /// # Safety
    /// `pointer` came from this heap. After success it is not used any more, and the block, whose class is then not that of its
    /// layout (H1), is given back by [`deallocate_unsized`](Self::deallocate_unsized).
    pub unsafe fn reallocate_unsized(&self, pointer: NonNull<u8>, new_layout: Layout) -> Option<NonNull<u8>> {
        let address = pointer.addr().get();
        let Some(old_size) = self.usable_size(pointer.as_ptr()) else {
            self.misuses.report(Misuse::Foreign, address);
            return None;
        };
        let is_aligned = address.is_multiple_of(new_layout.align());
        let is_large = G::class_of(new_layout.size(), new_layout.align()).is_none();
        let stays = if is_large {
            Self::large_fits(old_size, new_layout)
        } else {
            (old_size / 2 + 1..=old_size).contains(&new_layout.size())
        };
        if is_aligned && stays {
            return Some(self.pointer_at(address));
        }
        let old_layout = Layout::from_size_align(old_size, 1).ok()?;
        if is_aligned
            && is_large
            && let Some(resized) = self.reallocate_large(address, old_layout, new_layout)
        {
            return resized;
        }
        let target = self.allocate(new_layout)?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, old_size.min(new_layout.size()));
            self.deallocate_unsized(pointer.as_ptr());
        }
        Some(target)
    }

    /// How many bytes the block at `pointer` has; `None` for null and for what is no block of this heap.
    #[inline]
    pub fn usable_size(&self, pointer: *const u8) -> Option<usize> {
        let address = pointer.addr();
        match self.page_of(address).map(|page| (page, page.class())) {
            Some((page, Some(class))) => page.locate(address).map(|_| class.block_size()),
            Some((page, None)) => Self::run_size(page, address),
            None => self.region_block_size(address),
        }
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The core heaps' keeper.
    pub fn cores(&self) -> &C {
        &self.cores
    }

    #[inline]
    pub(crate) fn page_of(&self, address: usize) -> Option<&Page<G>> {
        self.arenas.of(address)?.page_of(address)
    }

    pub(crate) fn pointer_at(&self, address: usize) -> NonNull<u8> {
        debug_assert_ne!(address, 0);
        // SAFETY: blocks lie in regions, and no region has a block at address 0.
        unsafe { NonNull::new_unchecked(self.source.pointer_at(address)) }
    }
}

#[cfg(test)]
mod tests;
