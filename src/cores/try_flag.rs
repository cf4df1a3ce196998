//! Heaps that any context may use: other cores, threads, interrupts.
//!
//! *Role*: [`TryFlag`], the [`CoreLocal`] that keeps contexts apart and needs no port. Not there where the target has no compare-and-swap,
//! unless the feature `critical-section` lends one.

use core::marker::PhantomData;

use crate::base::block::{Block, Blocks};
use crate::base::size_class::SizeClass;
use crate::base::sync::const_but_in_models;
use crate::cores::core_heap::{CoreHeap, CoreSlot, CoreSlots};
use crate::cores::core_local::CoreLocal;
use crate::pages::geometry::Geometry;

/// Any number that tells contexts apart: the core's, or a thread's. Only speed depends on it.
pub trait CoreNumber: Send + Sync + 'static {
    /// The number of the core this runs on, taken modulo the number of slots.
    fn core_number() -> usize;
}

/// Many cores, any context: a core heap is taken out of its slot for the few instructions of a pop or push, by one atomic swap,
/// and put back. If it is out already (another context, or the one that this one interrupts), the next core's slot is tried, and
/// then the page bitmaps serve. Nobody waits.
#[derive(Debug)]
pub struct TryFlag<N, const CORES: usize> {
    slots: CoreSlots<CORES>,
    number: PhantomData<N>,
}

impl<N: CoreNumber, const CORES: usize> TryFlag<N, CORES> {
    /// How many slots a pop or push tries.
    const TRIES: usize = 2;
    /// How often [`alone_on`](CoreLocal::alone_on) tries, which is long enough for any pop or push that is running to end.
    const ALONE_TRIES: usize = if cfg!(any(loom, miri)) { 2 } else { 1000 };

    const_but_in_models! {
        /// With `CORES` slots, all empty.
        pub fn new() -> Self {
            TryFlag { slots: CoreSlots::new(), number: PhantomData }
        }
    }

    /// Takes out a core heap, this core's if it can be had, and runs `work` on it and `input`, which comes back if there is none.
    #[inline(always)]
    unsafe fn with_any<G: Geometry, T, R>(&self, input: T, work: impl FnOnce(&CoreHeap<G>, T) -> R) -> Result<R, T> {
        let first = self.core();
        for offset in 0..Self::TRIES.min(CORES) {
            let slot = &self.slots[(first + offset) % CORES];
            // SAFETY: the caller names the geometry; put back below.
            if let Some(heap) = unsafe { slot.take_out::<G>() } {
                let result = work(heap, input);
                // SAFETY: taken out above.
                unsafe { slot.put_back(heap) };
                return Ok(result);
            }
        }
        Err(input)
    }
}

impl<N: CoreNumber, const CORES: usize> Default for TryFlag<N, CORES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: only the context that took a core heap out of its slot pops and pushes on it.
unsafe impl<N: CoreNumber, const CORES: usize> CoreLocal for TryFlag<N, CORES> {
    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core]
    }

    #[inline(always)]
    fn core(&self) -> usize {
        N::core_number() % CORES
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; `with_any` makes this context alone.
        unsafe { self.with_any::<G, _, _>((), |heap, ()| heap.magazine(class).pop()) }.ok().flatten()
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: as in `pop`.
        unsafe { self.with_any::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)) }.flatten()
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: as in `pop`. Busy slots leave the blocks as they are.
        let _ = unsafe { self.with_any::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).pop_many(blocks, most)) };
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: as in `pop_many`.
        let _ = unsafe { self.with_any::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).push_many(blocks)) };
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        let slot = &self.slots[core];
        for _ in 0..Self::ALONE_TRIES {
            // SAFETY: the caller names the geometry; put back below.
            if let Some(heap) = unsafe { slot.take_out::<G>() } {
                let result = work(heap);
                // SAFETY: taken out above.
                unsafe { slot.put_back(heap) };
                return Some(result);
            }
            core::hint::spin_loop();
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
