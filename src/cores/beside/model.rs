//! Models of magazines that contexts share: pops, pushes and a drain at the same time.

use std::vec::Vec;

use super::*;
use crate::base::sync::model::{explore, thread};
use crate::cores::core_local::model::{World, pop, push, push_and_pop};

#[derive(Debug)]
struct Zero;

impl ContextNumber for Zero {
    fn number() -> usize {
        0
    }

    fn raced() {}
}

type Cores = World<Beside<Zero, 1>>;

/// As a context takes them that shares the magazine: one by one.
fn drain(cores: &Cores) -> Vec<usize> {
    core::iter::from_fn(|| pop(cores)).collect()
}

/// Whatever one context does while another pushes the block at 128 and pops one: every block is in one place, and comes out as it went in.
fn every_block_is_in_one_place(mine: fn(&Cores) -> Vec<usize>, blocks: &'static [usize]) {
    explore(move || {
        let cores = World::new(Beside::new());
        assert_eq!(push(&cores, 64), None);
        let other = {
            let cores = cores.clone();
            thread::spawn(move || push_and_pop(&cores, 128))
        };
        let mut all = mine(&cores);
        all.extend(other.join().unwrap());
        all.extend(drain(&cores));
        all.sort();
        assert_eq!(all, blocks);
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
