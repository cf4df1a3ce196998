//! Core heaps that contexts use side by side: nobody need be alone.
//!
//! *Role*: [`Beside`], the [`CoreLocal`] for contexts that can end at any instruction, without notice, and where every atomic store costs as
//! much as a swap: workers in WebAssembly. A block goes into a magazine and out by one atomic operation on its slot
//! ([`Magazine::pop_beside`](crate::port::Magazine::pop_beside)); so who ends in the middle loses the one block it had in hand, and nothing is out of use
//! after it. [`TryFlag`](crate::TryFlag), which takes the whole core heap out for that moment, has two more.
//!
//! *Concurrency*: any contexts, any number of them at a time. Which core heap one uses is for speed only.

use core::marker::PhantomData;

use crate::base::block::{Block, Blocks};
use crate::base::size_class::SizeClass;
use crate::base::sync::const_but_in_models;
use crate::cores::core_heap::{CoreHeap, CoreSlot, CoreSlots};
use crate::cores::core_local::CoreLocal;
use crate::pages::geometry::Geometry;

/// Numbers that tell contexts apart, so that each has a core heap of its own if there are enough. Only speed depends on it.
pub trait ContextNumber: Send + Sync + 'static {
    /// This context's number, taken modulo the number of slots.
    fn number() -> usize;

    /// Another context uses the core heap of that number at the same time: this one should have another number from now on.
    fn raced();
}

/// Many contexts, `CORES` core heaps, and each block by an atomic operation of its own.
#[derive(Debug)]
pub struct Beside<N, const CORES: usize> {
    slots: CoreSlots<CORES>,
    number: PhantomData<N>,
}

impl<N: ContextNumber, const CORES: usize> Beside<N, CORES> {
    const_but_in_models! {
        /// With `CORES` slots, all empty.
        pub fn new() -> Self {
            Beside { slots: CoreSlots::new(), number: PhantomData }
        }
    }
}

impl<N: ContextNumber, const CORES: usize> Default for Beside<N, CORES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: magazines are shared (M4).
unsafe impl<N: ContextNumber, const CORES: usize> CoreLocal for Beside<N, CORES> {
    const SHARED: bool = true;

    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core]
    }

    #[inline(always)]
    fn core(&self) -> usize {
        N::number() % CORES
    }

    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        // SAFETY: the caller names the geometry.
        match unsafe { self.slots[self.core()].heap::<G>() } {
            Some(heap) => Ok(work(heap, input)),
            None => Err(input),
        }
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; M4: magazines are shared.
        unsafe { self.slots[self.core()].heap::<G>()?.magazine(class).pop_beside(N::raced) }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: the caller names the geometry.
        match unsafe { self.slots[self.core()].heap::<G>() } {
            // SAFETY: as in `pop`, and the caller's promise about the block.
            Some(heap) => unsafe { heap.magazine(class).push_beside(block, N::raced) },
            None => Err(block),
        }
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        while blocks.addresses().len() < most {
            // SAFETY: the caller's promise.
            let Some(block) = (unsafe { self.pop::<G>(class) }) else { break };
            blocks.add(block);
        }
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        while let Some(block) = blocks.remove() {
            // SAFETY: the caller's promise.
            if let Err(back) = unsafe { self.push::<G>(class, block) } {
                return blocks.add(back);
            }
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller names the geometry.
        unsafe { self.slots[core].heap::<G>() }.map(work)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
