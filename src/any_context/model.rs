//! Models of magazines: pop and push against a drain from another core.

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

impl CoreNumber for Zero {
    fn core_number() -> usize {
        0
    }
}

type Cores = TryFlag<Zero, 1>;

fn class() -> SizeClass {
    Model::class_of(64, 1).unwrap()
}

fn block(address: usize) -> Block {
    // SAFETY: made up, and owned by this test alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

/// Cores with one core heap that stays for the model.
fn cores() -> (Arc<Cores>, Arc<CoreHeap<Model>>) {
    let magazine = |_| Magazine::from_slots(core::array::from_fn(|_| AtomicUsize::new(0)));
    let current = |_| AtomicPtr::new(core::ptr::null_mut());
    let heap = Arc::new(CoreHeap::from_parts(core::array::from_fn(magazine), core::array::from_fn(current)));
    let cores = Cores::new();
    // SAFETY: the core heap outlives the model's threads.
    assert!(unsafe { cores.slot(0).install::<Model>(core::ptr::from_ref(&*heap).cast_mut()) });
    (Arc::new(cores), heap)
}

fn drain(cores: &Cores) -> Vec<usize> {
    let take_all = |heap: &CoreHeap<Model>| {
        // SAFETY: alone on the magazine.
        core::iter::from_fn(|| unsafe { heap.magazine(class()).pop() }).map(|block| block.address()).collect()
    };
    // SAFETY: the geometry is the model's.
    unsafe { cores.alone_on::<Model, Vec<usize>>(0, take_all) }.unwrap_or_default()
}

/// Every block is in one place, whoever wins.
#[test]
fn drain_against_push_and_pop() {
    explore(|| {
        let (cores, heap) = cores();
        // SAFETY: the geometry is the model's.
        unsafe { cores.push::<Model>(class(), block(64)) }.unwrap();
        let worker = {
            let cores = cores.clone();
            thread::spawn(move || {
                // SAFETY: as above.
                unsafe {
                    let back = cores.push::<Model>(class(), block(128)).err();
                    let popped = cores.pop::<Model>(class());
                    [back, popped].into_iter().flatten().map(|block| block.address()).collect::<Vec<_>>()
                }
            })
        };
        let mut all = drain(&cores);
        all.extend(worker.join().unwrap());
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heap);
    });
}

/// Two contexts on one core, as in a nested call: none waits, nothing is lost.
#[test]
fn two_contexts_on_one_core() {
    explore(|| {
        let (cores, heap) = cores();
        // SAFETY: the geometry is the model's.
        let push = |cores: &Cores, address| unsafe { cores.push::<Model>(class(), block(address)) }.err();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || push(&cores, 64).map(|block| block.address()))
        };
        let mine = push(&cores, 128).map(|block| block.address());
        let mut all: Vec<usize> = [mine, other.join().unwrap()].into_iter().flatten().collect();
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heap);
    });
}
