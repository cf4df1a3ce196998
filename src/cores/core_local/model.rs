//! What models of core-locals have in common: a small geometry, made-up blocks, and a core heap to keep them in.
//!
//! Who has a block writes into its cell: so a model fails as well where one does not see what the owner before wrote.

use core::num::NonZeroUsize;
use core::ptr::null_mut;
use std::vec::Vec;

use super::*;
use crate::base::sync::model::{Arc, UnsafeCell};
use crate::base::sync::{AtomicPtr, AtomicUsize, array_of};

crate::geometry! {
    /// Two slots to a magazine.
    pub struct Model {
        slice_size: 128, max_block: 128, page_size: 128, arena_size: 4096, magazine_slots: 2,
        magazine_bytes: 4096, pages_per_group: 1, listed_words: 1, grow_size: 4096, fit_candidates: 4,
    }
}

/// The class of all blocks.
pub fn class() -> SizeClass {
    Model::class_of(64, 1).unwrap()
}

/// Cores with a core heap in each of their slots, and what lies in the blocks at 64, 128 and 192.
pub struct World<C> {
    pub cores: C,
    heaps: Vec<CoreHeap<Model>>,
    blocks: [UnsafeCell<usize>; 3],
}

impl<C: CoreLocal> World<C> {
    pub fn new(cores: C) -> Arc<Self> {
        let world = Self::without_core_heaps(cores);
        world.make();
        world
    }

    /// The same, but core heaps are still to be made.
    pub fn without_core_heaps(cores: C) -> Arc<Self> {
        let heaps = (0..cores.core_count()).map(|_| new_core_heap()).collect();
        Arc::new(World { cores, heaps, blocks: core::array::from_fn(|_| UnsafeCell::new(0)) })
    }

    /// Makes all core heaps.
    pub fn make(&self) {
        for (core, heap) in self.heaps.iter().enumerate() {
            // SAFETY: the world has the core heaps, and does not end before the model's threads.
            assert!(unsafe { self.cores.install::<Model>(core, core::ptr::from_ref(heap).cast_mut()) });
            heap.magazines().for_each(|(_, magazine)| magazine.set_limit(Model::MAGAZINE_SLOTS));
        }
    }

    /// Writes into a block that this context has; returns its address.
    fn write(&self, address: usize) -> usize {
        // SAFETY: the model checks that nobody else has it.
        self.blocks[address / 64 - 1].with_mut(|block| unsafe { block.write(address) });
        address
    }

    /// Puts a block into a core's magazine, alone on it.
    pub fn fill(&self, core: usize, address: usize) {
        let block = made_up(self.write(address));
        // SAFETY: the geometry is the model's; alone on the magazine.
        let pushed = unsafe { self.cores.alone_on::<Model, _>(core, |heap| heap.magazine(class()).push(block)) };
        assert_eq!(pushed, Some(Ok(())));
    }
}

/// A core heap that is not made yet.
pub fn new_core_heap() -> CoreHeap<Model> {
    let pointers = || array_of!(AtomicPtr::new(null_mut()));
    CoreHeap::from_parts([pointers(), pointers()], array_of!(AtomicUsize::new(0)), array_of!(AtomicPtr::new(null_mut())))
}

fn made_up(address: usize) -> Block {
    // SAFETY: made up, and owned by the model alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

/// Pushes the block at `address`, which comes back if there is no room.
pub fn push(world: &World<impl CoreLocal>, address: usize) -> Option<usize> {
    // SAFETY: the geometry is the model's.
    let pushed = unsafe { world.cores.push::<Model>(class(), made_up(world.write(address))) };
    pushed.err().map(|block| world.write(block.address()))
}

/// Pops a block.
pub fn pop(world: &World<impl CoreLocal>) -> Option<usize> {
    // SAFETY: the geometry is the model's.
    unsafe { world.cores.pop::<Model>(class()) }.map(|block| world.write(block.address()))
}

/// Pushes the block at `address` and pops one; what of them is in hand then.
pub fn push_and_pop(world: &World<impl CoreLocal>, address: usize) -> Vec<usize> {
    [push(world, address), pop(world)].into_iter().flatten().collect()
}

/// Takes all blocks out of a core's magazine, alone on it; none if that cannot be had.
pub fn drain(world: &World<impl CoreLocal>, core: usize) -> Vec<usize> {
    let take_all = |heap: &CoreHeap<Model>| {
        // SAFETY: alone on the magazine.
        core::iter::from_fn(|| unsafe { heap.magazine(class()).pop() }).map(|block| world.write(block.address())).collect()
    };
    // SAFETY: the geometry is the model's.
    unsafe { world.cores.alone_on::<Model, Vec<usize>>(core, take_all) }.unwrap_or_default()
}
