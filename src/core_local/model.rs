//! What models of core-locals have in common: a small geometry, made-up blocks, and a core heap to keep them in.

use core::num::NonZeroUsize;
use core::ptr::null_mut;
use std::vec::Vec;

use super::*;
use crate::magazine::Magazine;
use crate::sync::model::Arc;
use crate::sync::{AtomicPtr, AtomicUsize};

crate::geometry! {
    /// Two slots to a magazine.
    pub struct Model {
        slice_size: 128, fit_candidates: 4, max_block: 128, page_size: 128, page_words: 1, pages_per_group: 1, room_words: 1, page_entry_bits: 32,
        magazine_slots: 2, magazine_bytes: 4096, arena_size: 4096, arena_map: 1, grow_size: 4096,
    }
}

/// The class of all blocks.
fn class() -> SizeClass {
    Model::class_of(64, 1).unwrap()
}

/// `cores`, with a core heap in each of their slots that stays for the model.
pub fn with_core_heaps<C: CoreLocal>(cores: C) -> (Arc<C>, Vec<Arc<CoreHeap<Model>>>) {
    let new_heap = || {
        let magazine = |_| Magazine::from_slots(core::array::from_fn(|_| AtomicUsize::new(0)));
        let current = |_| AtomicPtr::new(null_mut());
        Arc::new(CoreHeap::from_parts(core::array::from_fn(magazine), core::array::from_fn(current)))
    };
    let heaps: Vec<_> = (0..cores.core_count()).map(|_| new_heap()).collect();
    for (core, heap) in heaps.iter().enumerate() {
        // SAFETY: the core heap outlives the model's threads.
        assert!(unsafe { cores.slot(core).install::<Model>(core::ptr::from_ref(&**heap).cast_mut()) });
    }
    (Arc::new(cores), heaps)
}

/// Pushes the block at `address`, which comes back if there is no room.
pub fn push(cores: &impl CoreLocal, address: usize) -> Option<usize> {
    // SAFETY: made up, and owned by the model alone; the geometry is the model's.
    let pushed = unsafe { cores.push::<Model>(class(), Block::from_address(NonZeroUsize::new(address).unwrap())) };
    pushed.err().map(|block| block.address())
}

/// Pops a block.
pub fn pop(cores: &impl CoreLocal) -> Option<usize> {
    // SAFETY: the geometry is the model's.
    unsafe { cores.pop::<Model>(class()) }.map(|block| block.address())
}

/// Pushes the block at `address` and pops one; what of them is in hand then.
pub fn push_and_pop(cores: &impl CoreLocal, address: usize) -> Vec<usize> {
    [push(cores, address), pop(cores)].into_iter().flatten().collect()
}

/// Takes all blocks out of a core's magazine, alone on it; none if that cannot be had.
pub fn drain(cores: &impl CoreLocal, core: usize) -> Vec<usize> {
    let take_all = |heap: &CoreHeap<Model>| {
        // SAFETY: alone on the magazine.
        core::iter::from_fn(|| unsafe { heap.magazine(class()).pop() }).map(|block| block.address()).collect()
    };
    // SAFETY: the geometry is the model's.
    unsafe { cores.alone_on::<Model, Vec<usize>>(core, take_all) }.unwrap_or_default()
}
