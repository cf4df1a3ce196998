//! Leases under loom: a lessee that pops and pushes against who takes the core heap away, or wants the lease itself.

use loom::sync::Arc;
use loom::sync::atomic::fence;
use loom::thread;
use std::boxed::Box;
use std::cell::Cell;

use super::*;
use crate::core_local::model::{Model, drain, push, push_and_pop, with_core_heap};

loom::thread_local! {
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

/// Cores with one core heap, leased to this thread; in its magazine is the block at 64.
fn cores() -> (Arc<Cores>, Box<CoreHeap<Model>>) {
    let (cores, heap) = with_core_heap(Cores::new());
    assert_eq!(push(&*cores, 64), Some(64), "no lease yet");
    assert_eq!(cores.core(), 0);
    assert_eq!(push(&*cores, 64), None);
    (cores, heap)
}

#[test]
fn loom_lessee_against_drain() {
    loom::model(|| {
        let (cores, heap) = cores();
        let other = {
            let cores = cores.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                drain(&*cores)
            })
        };
        let mut all = push_and_pop(&*cores, 128);
        all.extend(other.join().unwrap());
        all.extend(drain(&*cores));
        all.sort();
        assert_eq!(all, [64, 128]);
        drop(heap);
    });
}

#[test]
fn loom_lease_moves_to_another_thread() {
    loom::model(|| {
        let (cores, heap) = cores();
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
        all.extend(drain(&*cores));
        all.sort();
        assert_eq!(all, [64, 128, 192]);
        drop(heap);
    });
}
