//! Models of magazines that contexts share: pops, pushes and a drain at the same time.

use core::num::NonZeroUsize;
use std::vec::Vec;

use super::*;
use crate::magazine::Magazine;
use crate::sync::model::{Arc, explore, thread};
use crate::sync::{AtomicPtr, AtomicUsize};

crate::geometry! {
    /// Two slots to a magazine.
    struct Model {
        slice_size: 128, fit_candidates: 4, max_block: 128, page_size: 128, page_words: 1, pages_per_group: 1, room_words: 1, page_entry_bits: 32,
        magazine_slots: 2, magazine_bytes: 4096, arena_size: 4096, arena_map: 1, grow_size: 4096,
    }
}

#[derive(Debug)]
struct Zero;

impl ContextNumber for Zero {
    fn number() -> usize {
        0
    }

    fn raced() {}
}

type Cores = Beside<Zero, 1>;

fn class() -> SizeClass {
    Model::class_of(64, 1).unwrap()
}

/// Cores with one core heap that stays for the model; the block at 64 is in its magazine.
fn cores() -> (Arc<Cores>, Arc<CoreHeap<Model>>) {
    let magazine = |_| Magazine::from_slots(core::array::from_fn(|_| AtomicUsize::new(0)));
    let current = |_| AtomicPtr::new(core::ptr::null_mut());
    let heap = Arc::new(CoreHeap::from_parts(core::array::from_fn(magazine), core::array::from_fn(current)));
    let cores = Cores::new();
    // SAFETY: the core heap outlives the model's threads.
    assert!(unsafe { cores.slot(0).install::<Model>(core::ptr::from_ref(&*heap).cast_mut()) });
    assert_eq!(push(&cores, 64), None);
    (Arc::new(cores), heap)
}

/// Pushes a block; its address comes back if there is no room.
fn push(cores: &Cores, address: usize) -> Option<usize> {
    // SAFETY: made up, and owned by this test alone; the geometry is the model's.
    let pushed = unsafe { cores.push::<Model>(class(), Block::from_address(NonZeroUsize::new(address).unwrap())) };
    pushed.err().map(|block| block.address())
}

fn pop(cores: &Cores) -> Option<usize> {
    // SAFETY: the geometry is the model's.
    unsafe { cores.pop::<Model>(class()) }.map(|block| block.address())
}

fn drain(cores: &Cores) -> Vec<usize> {
    core::iter::from_fn(|| pop(cores)).collect()
}

/// Whatever one context does while another pushes the block at 128 and pops one: every block is in one place, and comes out as it went in.
fn every_block_is_in_one_place(mine: fn(&Cores) -> Vec<usize>, blocks: &'static [usize]) {
    explore(move || {
        let (cores, heap) = cores();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || [push(&cores, 128), pop(&cores)])
        };
        let mut all = mine(&cores);
        all.extend(other.join().unwrap().into_iter().flatten());
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, blocks);
        drop(heap);
    });
}

#[test]
fn pop_beside_push_and_pop() {
    every_block_is_in_one_place(|cores| pop(cores).into_iter().collect(), &[64, 128]);
}

#[test]
fn push_beside_push_and_pop() {
    every_block_is_in_one_place(|cores| push(cores, 192).into_iter().collect(), &[64, 128, 192]);
}

#[test]
fn drain_beside_push_and_pop() {
    every_block_is_in_one_place(drain, &[64, 128]);
}
