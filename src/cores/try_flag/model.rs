//! Models of magazines: pop and push against a drain from another core, and against each other.

use std::vec::Vec;

use super::*;
use crate::base::sync::AtomicBool;
use crate::base::sync::model::{explore, explore_up_to, thread};
use crate::cores::core_local::model::{World, drain, push, push_and_pop};

#[derive(Debug)]
struct Zero;

impl CoreNumber for Zero {
    fn core_number() -> usize {
        0
    }
}

/// Every block is in one place, whoever wins.
#[test]
fn drain_against_push_and_pop() {
    explore(|| {
        let cores = World::new(TryFlag::<Zero, 1>::new());
        assert_eq!(push(&cores, 64), None);
        let other = {
            let cores = cores.clone();
            thread::spawn(move || push_and_pop(&cores, 128))
        };
        let mut all = drain(&cores, 0);
        all.extend(other.join().unwrap());
        all.extend(drain(&cores, 0));
        all.sort();
        assert_eq!(all, [64, 128]);
    });
}

/// A mark beside the core heap, which anybody finds in the slot as soon as it is there.
#[derive(Debug)]
struct Flag(AtomicBool);

// SAFETY: who sets the flag is the only one that has the core heap.
unsafe impl Mark for Flag {
    #[cfg(not(loom))]
    #[allow(clippy::declare_interior_mutable_const, reason = "each use makes one")]
    const NEW: Self = Flag(AtomicBool::new(false));
    #[cfg(loom)]
    const NEW: fn() -> Self = || Flag(AtomicBool::new(false));

    unsafe fn take<'a, G: Geometry>(&'a self, slot: &'a CoreSlot) -> Option<&'a CoreHeap<G>> {
        // SAFETY: the caller names the geometry.
        let heap = unsafe { slot.heap::<G>() }?;
        (!self.0.swap(true, Ordering::Acquire)).then_some(heap)
    }

    unsafe fn give_back<G: Geometry>(&self, _: &CoreHeap<G>) {
        // loom lets a plain store slip in between the two halves of another context's swap.
        self.0.swap(false, Ordering::Release);
    }

    unsafe fn open<G: Geometry>(&self, _: &CoreHeap<G>) {}
}

/// While a context makes the core heap, two others use it as soon as they find it.
fn a_core_heap_is_made_beside_others<M: Mark>() {
    explore_up_to(2, || {
        let cores = World::without_core_heaps(TryFlag::<Zero, 1, M>::new());
        let others = [64, 128].map(|address| {
            let cores = cores.clone();
            thread::spawn(move || push_and_pop(&cores, address))
        });
        cores.make();
        let mut all: Vec<usize> = others.into_iter().flat_map(|other| other.join().unwrap()).collect();
        all.extend(drain(&cores, 0));
        all.sort();
        assert_eq!(all, [64, 128]);
    });
}

#[test]
fn a_core_heap_whose_pointer_is_swapped_is_made_beside_others() {
    a_core_heap_is_made_beside_others::<Swap>();
}

#[test]
fn a_core_heap_with_a_flag_is_made_beside_others() {
    a_core_heap_is_made_beside_others::<Flag>();
}

/// Two contexts on one core, as in a nested call: none waits, nothing is lost.
#[test]
fn two_contexts_on_one_core() {
    explore(|| {
        let cores = World::new(TryFlag::<Zero, 1>::new());
        let other = {
            let cores = cores.clone();
            thread::spawn(move || push(&cores, 64))
        };
        let mine = push(&cores, 128);
        let mut all: Vec<usize> = [mine, other.join().unwrap()].into_iter().flatten().collect();
        all.extend(drain(&cores, 0));
        all.sort();
        assert_eq!(all, [64, 128]);
    });
}
