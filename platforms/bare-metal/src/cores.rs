//! [`Pinned`]: magazines for each core of a kernel.

use core::marker::PhantomData;

use coreheap::port::{Block, Blocks, CoreHeap, CoreSlot, SizeClass};
use coreheap::{CoreLocal, CoreNumber, Geometry, Heap, TryFlag};

/// How often a context waits for another one on its core.
const OWN_CORE_TRIES: usize = 100;

/// A heap for `CORES` cores with magazines for each, by your [`Cores`]: `CoresHeap::new(source, Pinned::new())`.
pub type CoresHeap<S, P, const CORES: usize, G> = Heap<S, Pinned<P, CORES>, G>;

/// What a kernel says about its cores.
///
/// Only speed depends on it: a wrong number, or a pin that does not hold, leads to a core heap that is busy or cold.
pub trait Cores: Send + Sync + 'static {
    /// The core this runs on, from 0.
    fn core() -> usize;

    /// Runs `work` without another task coming in on this core: with preemption off, or interrupts, which are then as they were before. Some
    /// dozen instructions.
    fn pinned<R>(work: impl FnOnce() -> R) -> R;
}

/// One core, with interrupts masked by the `critical-section` crate.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
pub struct MaskedCore;

#[cfg(feature = "critical-section")]
impl Cores for MaskedCore {
    fn core() -> usize {
        0
    }

    #[inline(always)]
    fn pinned<R>(work: impl FnOnce() -> R) -> R {
        critical_section::with(|_| work())
    }
}

#[derive(Debug)]
struct Number<P>(PhantomData<P>);

impl<P: Cores> CoreNumber for Number<P> {
    #[inline(always)]
    fn core_number() -> usize {
        P::core()
    }
}

/// A core heap for each of `CORES` cores. Any context may use it: an interrupt that finds its core's heap in use, because it interrupted a pop
/// or push, takes the next one's, or goes to the page bitmaps.
#[derive(Debug)]
pub struct Pinned<P, const CORES: usize> {
    cores: TryFlag<Number<P>, CORES>,
}

impl<P: Cores, const CORES: usize> Pinned<P, CORES> {
    /// No core heaps yet.
    pub const fn new() -> Self {
        Pinned { cores: TryFlag::new() }
    }
}

impl<P: Cores, const CORES: usize> Default for Pinned<P, CORES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: `TryFlag` keeps to it, pinned or not.
unsafe impl<P: Cores, const CORES: usize> CoreLocal for Pinned<P, CORES> {
    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        self.cores.slot(core)
    }

    #[inline(always)]
    fn core(&self) -> usize {
        self.cores.core()
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller's promise.
        P::pinned(|| unsafe { self.cores.pop::<G>(class) })
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: the caller's promise.
        P::pinned(|| unsafe { self.cores.push::<G>(class, block) })
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: the caller's promise.
        P::pinned(|| unsafe { self.cores.pop_many::<G>(class, blocks, most) });
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: the caller's promise.
        P::pinned(|| unsafe { self.cores.push_many::<G>(class, blocks) });
    }

    /// On its own core a context waits for a moment only: it may have interrupted the one that it waits for.
    fn wait_for(&self, core: usize, tries: usize) -> bool {
        (core != self.core() || tries < OWN_CORE_TRIES) && self.cores.wait_for(core, tries)
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller's promise.
        unsafe { self.cores.alone_on(core, work) }
    }
}
