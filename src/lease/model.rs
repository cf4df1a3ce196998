//! Models of leases: a lessee that pops and pushes against who takes the core heap away, or wants the lease itself.

use std::cell::Cell;
use std::vec::Vec;

use super::*;
use crate::core_local::model::{Model, drain, push, push_and_pop, with_core_heaps};
use crate::sync::model::{Arc, explore, fence, thread, thread_local};

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

type Cores<const HEAPS: usize> = Leased<Numbered, HEAPS, 2>;

impl<const HEAPS: usize> Cores<HEAPS> {
    /// E3, while nobody has taken a core heap.
    fn assert_valid(&self) {
        for place in &self.places {
            if let Some(seat) = place.lessee.load(Ordering::Relaxed).checked_sub(1).map(|seat| &self.seats[seat]) {
                assert!(core::ptr::eq(seat.heap.load(Ordering::Relaxed), place.slot.address()), "E3: a lessee has its core heap");
            }
        }
    }
}

/// Cores with some core heaps, the first leased to this thread; in its magazine is the block at 64.
fn cores<const HEAPS: usize>() -> (Arc<Cores<HEAPS>>, Vec<Arc<CoreHeap<Model>>>) {
    let (cores, heaps) = with_core_heaps(Cores::<HEAPS>::new());
    assert_eq!(push(&*cores, 64), Some(64), "no lease yet");
    assert_eq!(cores.core(), 0);
    assert_eq!(push(&*cores, 64), None);
    (cores, heaps)
}

#[test]
fn lessee_against_drain() {
    explore(|| {
        let (cores, heaps) = cores::<1>();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                drain(&*cores, 0)
            })
        };
        let mut all = push_and_pop(&*cores, 128);
        all.extend(other.join().unwrap());
        all.extend(drain(&*cores, 0));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heaps);
    });
}

#[test]
fn lease_moves_to_another_thread() {
    explore(|| {
        let (cores, heaps) = cores::<1>();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                let seat = cores.own_seat().expect("there are two seats");
                cores.hand_over(0, seat);
                push_and_pop(&*cores, 192)
            })
        };
        let mut all = push_and_pop(&*cores, 128);
        all.extend(other.join().unwrap());
        all.extend(drain(&*cores, 0));
        all.sort();
        assert_eq!(all, [64, 128, 192]);
        drop(heaps);
    });
}

/// A thread whose core heap is out for another's work may get the second one meanwhile: then the first is nobody's.
#[test]
fn lessee_gets_another_while_its_own_is_out() {
    explore(|| {
        let (cores, heaps) = cores::<2>();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                drain(&*cores, 0)
            })
        };
        cores.core();
        let mut all = push_and_pop(&*cores, 128);
        all.extend(other.join().unwrap());
        cores.assert_valid();
        all.extend((0..2).flat_map(|core| drain(&*cores, core)));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heaps);
    });
}
