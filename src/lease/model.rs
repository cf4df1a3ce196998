//! Models of leases: a lessee that pops and pushes against who takes the core heap away, or wants the lease itself.

use core::num::NonZeroUsize;
use std::cell::Cell;
use std::vec::Vec;

use super::*;
use crate::magazine::Magazine;
use crate::sync::model::{Arc, explore, fence, thread, thread_local};

crate::geometry! {
    /// Two slots to a magazine.
    struct Model {
        slice_size: 128, fit_candidates: 4, max_block: 128, page_size: 128, page_words: 1, pages_per_group: 1, room_words: 1, page_entry_bits: 32,
        magazine_slots: 2, magazine_bytes: 4096, arena_size: 4096, arena_map: 1, grow_size: 4096,
    }
}

thread_local! {
    static NUMBER: Cell<usize> = Cell::new(1);
}

#[derive(Debug)]
struct Numbered;

// SAFETY: each thread of a model has a number of its own; the fence pairs with that of `light_fence`.
unsafe impl Threads for Numbered {
    fn this() -> usize {
        NUMBER.with(Cell::get)
    }

    fn barrier() -> bool {
        fence(Ordering::SeqCst);
        true
    }

    fn cores() -> usize {
        1
    }
}

type Cores = Leased<Numbered, 1, 2>;

fn class() -> SizeClass {
    Model::class_of(64, 1).unwrap()
}

fn block(address: usize) -> Block {
    // SAFETY: made up, and owned by this test alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

/// Cores with one core heap, leased to this thread, that stays for the model; in its magazine is the block at 64.
fn cores() -> (Arc<Cores>, Arc<CoreHeap<Model>>) {
    let magazine = |_| Magazine::from_slots(core::array::from_fn(|_| AtomicUsize::new(0)));
    let current = |_| AtomicPtr::new(null_mut());
    let heap = Arc::new(CoreHeap::from_parts(core::array::from_fn(magazine), core::array::from_fn(current)));
    let cores = Cores::new();
    // SAFETY: the core heap outlives the model's threads; the geometry is the model's.
    unsafe {
        assert!(cores.slot(0).install::<Model>(core::ptr::from_ref(&*heap).cast_mut()));
        assert_eq!(cores.push::<Model>(class(), block(64)).unwrap_err().address(), 64, "no lease yet");
        assert_eq!(cores.core(), 0);
        cores.push::<Model>(class(), block(64)).unwrap();
    }
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

/// Pushes the block at `address` and pops one; what of them is in hand then.
fn push_and_pop(cores: &Cores, address: usize) -> Vec<usize> {
    // SAFETY: the geometry is the model's.
    let (back, popped) = unsafe { (cores.push::<Model>(class(), block(address)).err(), cores.pop::<Model>(class())) };
    [back, popped].into_iter().flatten().map(|block| block.address()).collect()
}

#[test]
fn lessee_against_drain() {
    explore(|| {
        let (cores, heap) = cores();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                drain(&cores)
            })
        };
        let mut all = push_and_pop(&cores, 128);
        all.extend(other.join().unwrap());
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heap);
    });
}

#[test]
fn lease_moves_to_another_thread() {
    explore(|| {
        let (cores, heap) = cores();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                let seat = cores.own_seat().expect("there are two seats");
                cores.hand_over(0, seat);
                push_and_pop(&cores, 192)
            })
        };
        let mut all = push_and_pop(&cores, 128);
        all.extend(other.join().unwrap());
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, [64, 128, 192]);
        drop(heap);
    });
}
