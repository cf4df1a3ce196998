//! Taking a core heap for the moment of a pop or push: for any context, other cores, threads, interrupts.
//!
//! *Role*: [`TryFlag`], the [`CoreLocal`] that keeps contexts apart and needs no port. Not there where the target has no compare-and-swap,
//! unless the feature `critical-section` lends one.

use core::marker::PhantomData;
use core::ptr::null_mut;

use crate::base::sync::{AtomicPtr, CachePadded, Ordering, array_of, const_but_in_models, publish};
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::cores::core_local::{CoreLocal, spin};
use crate::pages::geometry::Geometry;

/// Any number that tells contexts apart: the core's, or a thread's.
///
/// Only speed depends on it: a wrong number, or a pin that does not hold, leads to a core heap that is busy or cold.
pub trait CoreNumber: Send + Sync + 'static {
    /// The number of the core this runs on, taken modulo the number of slots.
    fn core_number() -> usize;

    /// Runs `work`, some dozen instructions for each block that it moves, which are at most 64. A kernel lets no other task come in on this core meanwhile: with preemption off, or interrupts, which are
    /// then as they were before.
    #[inline(always)]
    fn pinned<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// How a context takes the core heap of a slot for itself.
///
/// # Safety
/// Between [`take`](Self::take) and [`give_back`](Self::give_back) no other context has the core heap of this slot, and what was done before is seen
/// by the next one.
pub unsafe trait Mark: Send + Sync + 'static {
    /// How often a context waits for memory that another one on its core has in hand. It may have interrupted that one, which then cannot go on.
    const TRIES_ON_OWN_CORE: usize = usize::MAX;

    /// Nobody has taken it.
    #[cfg(not(loom))]
    const NEW: Self;
    /// The same in models, whose atomics cannot be made in a constant.
    #[cfg(loom)]
    const NEW: fn() -> Self;

    /// Takes the core heap of `slot`, if nobody has; it is given back.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns the slot, which always has this mark.
    unsafe fn take<'a, G: Geometry>(&'a self, slot: &'a CoreSlot) -> Option<&'a CoreHeap<G>>;

    /// Gives it back.
    ///
    /// # Safety
    /// [`take`](Self::take) of this slot gave it to the caller, who does not use it any more.
    unsafe fn give_back<G: Geometry>(&self, heap: &CoreHeap<G>);

    /// Lets the core heap of a slot be taken, which was just put there. Others may have found it there by themselves.
    ///
    /// # Safety
    /// Called once for each slot.
    unsafe fn open<G: Geometry>(&self, heap: &CoreHeap<G>);
}

#[cfg(not(loom))]
macro_rules! new_mark {
    ($mark:ty) => {
        <$mark>::NEW
    };
}
#[cfg(loom)]
macro_rules! new_mark {
    ($mark:ty) => {
        <$mark>::NEW()
    };
}

/// A pointer to the core heap is swapped out, and put back.
///
/// *Invariant* C3: `open` is null or the slot's core heap. Who swaps it out is the only one that has the core heap.
#[derive(Debug)]
pub struct Swap<const TRIES_ON_OWN_CORE: usize = { usize::MAX }> {
    open: AtomicPtr<()>,
}

// SAFETY: C3; the Acquire in `take` pairs with the Release in `give_back`.
unsafe impl<const TRIES_ON_OWN_CORE: usize> Mark for Swap<TRIES_ON_OWN_CORE> {
    const TRIES_ON_OWN_CORE: usize = TRIES_ON_OWN_CORE;

    #[cfg(not(loom))]
    #[allow(clippy::declare_interior_mutable_const, reason = "each use makes one")]
    const NEW: Self = Swap { open: AtomicPtr::new(null_mut()) };
    #[cfg(loom)]
    const NEW: fn() -> Self = || Swap { open: AtomicPtr::new(null_mut()) };

    #[inline(always)]
    unsafe fn take<'a, G: Geometry>(&'a self, _: &'a CoreSlot) -> Option<&'a CoreHeap<G>> {
        // SAFETY: C1; the caller names the geometry.
        unsafe { self.open.swap(null_mut(), Ordering::Acquire).cast::<CoreHeap<G>>().as_ref() }
    }

    #[inline(always)]
    unsafe fn give_back<G: Geometry>(&self, heap: &CoreHeap<G>) {
        publish(&self.open, core::ptr::from_ref(heap).cast_mut().cast());
    }

    unsafe fn open<G: Geometry>(&self, heap: &CoreHeap<G>) {
        // SAFETY: nobody can have taken it before.
        unsafe { self.give_back(heap) };
    }
}

/// Many cores, any context: a core heap is taken for the few instructions of a pop or push, by one atomic operation, and given back. If somebody has it
/// already (another context, or the one that this one interrupts), the next core's is tried, and then the page bitmaps serve. A pop or push never waits.
///
/// `M` says how it is taken: by default a pointer to it is swapped.
#[derive(Debug)]
pub struct TryFlag<N, const CORES: usize, M = Swap> {
    cores: [CachePadded<(CoreSlot, M)>; CORES],
    number: PhantomData<N>,
}

impl<N: CoreNumber, const CORES: usize, M: Mark> TryFlag<N, CORES, M> {
    /// How many slots a pop or push tries.
    const TRIES: usize = 2;
    /// How often [`alone_on`](CoreLocal::alone_on) tries, which is long enough for any pop or push that is running to end.
    const ALONE_TRIES: usize = if cfg!(any(loom, miri)) { 2 } else { 1000 };

    const_but_in_models! {
        /// With `CORES` slots, all empty.
        pub fn new() -> Self {
            TryFlag { cores: array_of!(CachePadded((CoreSlot::new(), new_mark!(M)))), number: PhantomData }
        }
    }

    /// Takes a core heap.
    #[inline(always)]
    unsafe fn take<G: Geometry>(&self, core: usize) -> Option<Taken<'_, G, M>> {
        let CachePadded((slot, mark)) = &self.cores[core];
        // SAFETY: the caller names the geometry; `Taken` gives it back.
        unsafe { mark.take::<G>(slot) }.map(|heap| Taken { mark, heap })
    }

    /// Takes a core heap, this core's if it can be had.
    #[inline(always)]
    unsafe fn take_any<G: Geometry>(&self) -> Option<Taken<'_, G, M>> {
        let first = self.core();
        // SAFETY: the caller names the geometry.
        (0..Self::TRIES.min(CORES)).find_map(|offset| unsafe { self.take::<G>((first + offset) % CORES) })
    }
}

/// A core heap that this context has taken; given back when dropped, also if the work panics.
struct Taken<'a, G: Geometry, M: Mark> {
    mark: &'a M,
    heap: &'a CoreHeap<G>,
}

impl<G: Geometry, M: Mark> Drop for Taken<'_, G, M> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: taken by this mark.
        unsafe { self.mark.give_back(self.heap) };
    }
}

impl<N: CoreNumber, const CORES: usize, M: Mark> Default for TryFlag<N, CORES, M> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: only the context that has taken a core heap pops and pushes on it.
unsafe impl<N: CoreNumber, const CORES: usize, M: Mark> CoreLocal for TryFlag<N, CORES, M> {
    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.cores[core].0.0
    }

    unsafe fn install<G: Geometry>(&self, core: usize, heap: *mut CoreHeap<G>) -> bool {
        let CachePadded((slot, mark)) = &self.cores[core];
        // SAFETY: the caller's promise; a slot gets a core heap once.
        unsafe {
            let is_made = slot.install::<G>(heap);
            if is_made {
                mark.open::<G>(&*heap);
            }
            is_made
        }
    }

    #[inline(always)]
    fn core(&self) -> usize {
        N::core_number() % CORES
    }

    #[inline(always)]
    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        // SAFETY: the caller names the geometry.
        N::pinned(|| match unsafe { self.take_any::<G>() } {
            Some(taken) => Ok(work(taken.heap, input)),
            None => Err(input),
        })
    }

    fn wait_for(&self, core: usize, tries: usize) -> bool {
        (core != self.core() || tries < M::TRIES_ON_OWN_CORE) && spin(tries)
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        for _ in 0..Self::ALONE_TRIES {
            // SAFETY: the caller names the geometry.
            if let Some(taken) = unsafe { self.take::<G>(core) } {
                return Some(work(taken.heap));
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
