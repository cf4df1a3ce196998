//! Models of magazines: pop and push against a drain from another core, and against each other.

use std::vec::Vec;

use super::*;
use crate::base::sync::model::{explore, thread};
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
