//! Being alone on a core's magazines.
//!
//! *Role*: the trait that says which core this is and how a pop or a push is made safe from everybody else; and [`SingleCore`], for
//! heaps that one context uses at a time.
//!
//! *Invariant* L1: a pop or push of a magazine and another one of the same magazine never overlap, unless the later one makes
//! the earlier one not have happened (a restarted sequence).

use crate::base::block::{Block, Blocks};
use crate::base::size_class::SizeClass;
use crate::base::sync::const_but_in_models;
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::pages::geometry::Geometry;

/// Which core is this, and how is a context alone on that core's magazines?
///
/// Most ports need no implementation of their own: [`SingleCore`] covers one core, `TryFlag` (with a number as a hint) many, `Leased`
/// threads of a system with a process-wide barrier, and `Beside` contexts that may end at any instruction. Implement it where the platform has
/// something better. Where there are more core heaps than processors, a "core" is one of them.
///
/// # Safety
///
/// L1: `alone`, `alone_on` and whatever pops and pushes keep each other off a magazine, whatever context calls them, except where the type's own
/// contract forbids the call. They never wait for each other, but for a bounded number of tries in `alone_on` and `core`.
/// A value serves one heap only, and always returns the same slots.
pub unsafe trait CoreLocal: Sync {
    /// Whether contexts use a magazine side by side, each block by one atomic operation ([`Magazine::pop_beside`](crate::port::Magazine::pop_beside)).
    /// Then L1 is no matter, [`alone`](Self::alone) and [`alone_on`](Self::alone_on) run beside others, and [`pop`](Self::pop) and [`push`](Self::push)
    /// are the implementation's own, whole ([`QUICK_FIRST`](Self::QUICK_FIRST) is false).
    const SHARED: bool = false;

    /// Whether one context at a time uses the heap, and none in the middle of another's call: nobody else can have memory in hand.
    const ONE_CONTEXT: bool = false;

    /// Whether [`pop`](Self::pop) and [`push`](Self::push) are only the quickest part of what can be done. Then it is tried [`alone`](Self::alone) as well
    /// before a magazine counts as empty or full.
    const QUICK_FIRST: bool = false;

    /// How many cores there can be.
    fn core_count(&self) -> usize;

    /// The slot of core `core`, which is below [`core_count`](Self::core_count).
    fn slot(&self, core: usize) -> &CoreSlot;

    /// Makes core `core`'s heap, unless it has one; says whether it did. From then on pops and pushes there may use it. Whoever hands on
    /// [`slot`](Self::slot) to another `CoreLocal` hands on this as well: that one may do more than put it into the slot.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value; for the memory as for [`CoreSlot::install`].
    unsafe fn install<G: Geometry>(&self, core: usize, heap: *mut CoreHeap<G>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.slot(core).install::<G>(heap) }
    }

    /// The core this runs on, below [`core_count`](Self::core_count). A hint: it may have changed when this returns.
    fn core(&self) -> usize;

    /// Runs `work` on this core's heap and `input`, while nobody else pops or pushes there; or on another core's. Gives `input` back if there is no
    /// core heap that is free now.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value. `work` is some dozen instructions, for each block that it moves.
    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I>;

    /// Pops a block from this core's magazine of `class`; `None` if it is empty, busy, or not there.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value, with magazines, and `class` a class of it, or of large blocks that wait in magazines
    /// ([`Geometry::WAITS_UP_TO`]).
    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; this context is alone.
        unsafe { self.alone::<G, _, _>((), |heap, ()| heap.magazine(class).pop()) }.ok().flatten()
    }

    /// Pushes a block into this core's magazine of `class`; gives it back if that is full, busy, or not there.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block is of that class.
    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: as in `pop`.
        unsafe { self.alone::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)) }.flatten()
    }

    /// [`push`](Self::push) of a block that may be of no class, as a page table may say of what is no page's: it is then given back, like one that finds no
    /// room.
    ///
    /// # Safety
    /// As for [`push`](Self::push), if there is a class.
    #[inline(always)]
    unsafe fn push_if<G: Geometry>(&self, class: Option<SizeClass>, block: Block) -> Result<(), Block> {
        match class {
            // SAFETY: the caller's promise.
            Some(class) => unsafe { self.push::<G>(class, block) },
            None => Err(block),
        }
    }

    /// Pops until there are `most` blocks in `blocks`, or the magazine is empty, busy, or not there.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); `most` is at most [`Blocks::CAPACITY`].
    #[inline]
    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: as in `pop`. If there is no core heap, the blocks stay as they are.
        let _ = unsafe { self.alone::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).pop_many(blocks, most)) };
    }

    /// Pushes from `blocks`, the last first, until none is left, or the magazine is full, busy, or not there.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline]
    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: as in `pop_many`.
        let _ = unsafe { self.alone::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).push_many(blocks)) };
    }

    /// Called repeatedly while memory is short and a context on core `core` has some of it in hand for a moment; `tries` says how often before.
    /// Lets that context go on if it can; false when it is not worth waiting any longer. The default spins, for some hundred milliseconds at most.
    fn wait_for(&self, core: usize, tries: usize) -> bool {
        let _ = core;
        spin(tries)
    }

    /// Runs `work` while nobody else pops or pushes on core `core`'s magazines; `None` if that cannot be had now.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R>;

    /// [`alone_on`](Self::alone_on) each core that has a core heap, one after the other; says which one could not be had, but may be soon. For a `CoreLocal` to
    /// which being alone is dear, and on many cores not dearer than on one.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    unsafe fn alone_on_each<G: Geometry>(&self, mut work: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        let mut busy = None;
        for core in 0..self.core_count() {
            // SAFETY: the caller's promise.
            unsafe {
                if self.slot(core).heap::<G>().is_some() && self.alone_on::<G, _>(core, &mut work).is_none() {
                    busy = Some(core);
                }
            }
        }
        busy
    }
}

/// Spins once; false after some hundred milliseconds.
pub(crate) fn spin(tries: usize) -> bool {
    core::hint::spin_loop();
    tries < if cfg!(miri) { 20_000 } else { 5_000_000 }
}

/// One core, and no context that interrupts an allocation or free by another one: WebAssembly without threads, firmware that
/// does not allocate in interrupts. Costs nothing.
#[derive(Debug)]
pub struct SingleCore {
    slot: CoreSlot,
}

impl SingleCore {
    const_but_in_models! {
        /// For a heap that is only ever used by one context at a time.
        ///
        /// # Safety
        /// No call into the heap is made while another one is under way: no second thread or core, no interrupt or signal
        /// handler.
        pub unsafe fn new() -> Self {
            SingleCore { slot: CoreSlot::new() }
        }
    }
}

// SAFETY: L1: the contract of `new` leaves nobody to overlap with.
unsafe impl CoreLocal for SingleCore {
    const ONE_CONTEXT: bool = true;

    fn core_count(&self) -> usize {
        1
    }

    fn slot(&self, _: usize) -> &CoreSlot {
        &self.slot
    }

    #[inline(always)]
    fn core(&self) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        // SAFETY: the caller names the geometry; the contract of `new` makes this context alone.
        match unsafe { self.slot.heap::<G>() } {
            Some(heap) => Ok(work(heap, input)),
            None => Err(input),
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, _: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: as above.
        unsafe { self.slot.heap::<G>() }.map(work)
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;

#[cfg(all(test, any(loom, miri)))]
pub(crate) mod model;
