//! The heaps without size classes, pages and cores, for memory in KiB: [`EngineHeap`], and its engines.
//!
//! May use: `base`, `source`. The heap is what programs call, once for all engines; an [`Engine`] knows where blocks are. One engine is for any context;
//! the others are for one context at a time, which an [`Exclusion`](crate::Exclusion) sees to.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | the interface |
//! | `granules.rs` | the engine for any context |
//! | `exclusion.rs` | being alone in an engine |
//! | `words.rs` | what engines keep in blocks that nobody has, and their lists |
//! | `headerless.rs` | the engine that keeps nothing for a block |
//! | `dense.rs` | the engine that keeps a word before each block |
//! | `stats.rs` | the report |

#[cfg(not(loom))]
pub mod dense;
#[cfg(not(loom))]
pub mod exclusion;
pub mod granules;
#[cfg(not(loom))]
pub mod headerless;
pub mod stats;
#[cfg(not(loom))]
pub mod words;

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use crate::base::misuse::{Misuse, Misuses};
use crate::base::sync::const_but_in_models;
use crate::small::stats::SmallStats;
use crate::source::page_source::PageSource;

/// A heap without size classes and pages, with memory from `S`, plain memory that needs no commit: a [`SmallHeap`](crate::SmallHeap), a
/// [`HeaderlessHeap`](crate::HeaderlessHeap) or a [`DenseHeap`](crate::DenseHeap), by its engine.
///
/// Regions stay with the heap for good. `new` is `const` and needs no memory; all of a new value is zero, but for the source and an exclusion.
#[repr(C)] // The source may be big: what a fast path reaches is in front.
pub struct EngineHeap<S: PageSource, E> {
    engine: E,
    misuses: Misuses,
    source: S,
}

/// Where the block of a new layout is.
pub enum Target {
    /// In its place: it changed as it lies.
    Same,
    /// Here: a new block, to which the caller moves what is in the old one.
    Other(NonZeroUsize),
}

/// What comes of changing a block's layout; `None` where there is no memory.
type Changed = Result<Option<Target>, Misuse>;

/// Where the blocks of a heap are. Addresses that come from it are of blocks in regions that the heap's source gave.
///
/// # Safety
/// A block that [`allocate`](Self::allocate) or [`change`](Self::change) names fits the layout, overlaps no other, and stays until it is freed. Where
/// `change` names another block, or none, or reports a mistake, the old one is as it was.
pub unsafe trait Engine<S: PageSource>: Sized {
    /// The address of a new block.
    fn allocate(heap: &EngineHeap<S, Self>, layout: Layout) -> Option<NonZeroUsize>;

    /// Takes a block back. An error is about this block; what the engine finds of others it reports itself.
    ///
    /// # Safety
    /// As for [`EngineHeap::deallocate`].
    unsafe fn free(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout) -> Result<(), Misuse>;

    /// A block of the new layout in the place of this one.
    ///
    /// # Safety
    /// As for [`EngineHeap::change_layout`].
    unsafe fn change(heap: &EngineHeap<S, Self>, block: NonZeroUsize, layout: Layout, new_layout: Layout) -> Changed;

    /// Whether this is an address in the heap's memory.
    fn contains(heap: &EngineHeap<S, Self>, address: usize) -> bool;

    /// The report, but for misuses.
    fn stats(heap: &EngineHeap<S, Self>) -> SmallStats;

    /// Panics if the engine's invariants do not hold.
    fn assert_valid(heap: &EngineHeap<S, Self>);
}

impl<S: PageSource, E> EngineHeap<S, E> {
    const_but_in_models! {
        /// A heap of this engine.
        fn of(source: S, engine: E) -> Self {
            const { assert!(!S::COMMITS, "a heap without pages is for memory that needs no commit") };
            EngineHeap { engine, misuses: Misuses::new(), source }
        }
    }

    /// The page source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A block as the program gets it.
    #[inline(always)]
    fn pointer_at(&self, block: NonZeroUsize) -> Option<NonNull<u8>> {
        NonNull::new(self.source.pointer_at(block.get()))
    }
}

impl<S: PageSource, E: Engine<S>> EngineHeap<S, E> {
    /// Allocates `layout.size()` bytes at `layout.align()`; `None` when nothing free is long enough and the source refuses. Size 0 is served like 1.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.pointer_at(E::allocate(self, layout)?)
    }

    /// Like [`allocate`](Self::allocate), all bytes zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let pointer = self.allocate(layout)?;
        // SAFETY: a fresh block of at least this size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        Some(pointer)
    }

    /// Gives a block back. One that is free already, or of no region, or has another layout, is a misuse, as far as the engine sees it: each
    /// heap's documentation says how far. A debug build panics; a release build counts it, and leaves the block alone.
    ///
    /// # Safety
    /// `pointer` came from this heap with this alignment and size, or was reallocated to it, and is not used any more.
    #[inline]
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        if let Err(misuse) = unsafe { E::free(self, pointer.addr(), layout) } {
            self.misuses.report(misuse, pointer.addr().get());
        }
    }

    /// Changes a block's size: in place or by a copy, as the engine finds room. Shrinking never fails. `None` leaves the block as it was.
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
        // SAFETY: the caller's promise.
        match unsafe { E::change(self, pointer.addr(), layout, new_layout) } {
            Ok(Some(Target::Same)) => self.pointer_at(pointer.addr()),
            Ok(Some(Target::Other(block))) => {
                let target = self.pointer_at(block)?;
                // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
                unsafe {
                    target.copy_from_nonoverlapping(pointer, layout.size().min(new_layout.size()));
                    self.deallocate(pointer, layout);
                }
                Some(target)
            }
            Ok(None) => None,
            Err(misuse) => {
                self.misuses.report(misuse, pointer.addr().get());
                None
            }
        }
    }

    /// Whether this is an address in the heap's memory.
    pub fn contains(&self, pointer: *const u8) -> bool {
        E::contains(self, pointer.addr())
    }

    /// How the heap is doing. Blocks that are ready go home first. Takes time in proportion to its size; while other contexts use the heap, what they do
    /// is seen in part.
    pub fn stats(&self) -> SmallStats {
        // It may find some.
        let stats = E::stats(self);
        SmallStats { misuses: self.misuses.count(), ..stats }
    }

    /// Panics if the heap's books are wrong. For tests, while no other context uses the heap.
    pub fn assert_valid(&self) {
        E::assert_valid(self);
    }
}
