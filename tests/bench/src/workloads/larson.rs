//! After Larson and Krishnan's server: each thread replaces random blocks of its set, then ends and leaves the set to a new thread.

use std::alloc::GlobalAlloc;
use std::thread::{Scope, scope};

use super::Job;
use super::block::{Block, free_all};
use crate::numbers::Random;

/// Live blocks of a thread.
const LIVE: usize = 1_000;
/// Threads that follow one another.
const GENERATIONS: usize = 10;
const SIZES: std::ops::Range<usize> = 8..1_001;

/// So many sets of blocks at a time, each with its line of threads.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let pairs = job.part(15_000_000 / GENERATIONS);
    scope(|scope| {
        for number in 0..job.threads {
            let mut random = Random::seeded(number as u64);
            let blocks = (0..LIVE).map(|_| Block::new(allocator, random.within(SIZES))).collect();
            scope.spawn(move || generation(scope, allocator, random, blocks, pairs, GENERATIONS - 1));
        }
    });
    job.all(pairs * GENERATIONS + LIVE)
}

fn generation<'scope, A: GlobalAlloc + Sync>(
    scope: &'scope Scope<'scope, '_>,
    allocator: &'scope A,
    mut random: Random,
    mut blocks: Vec<Block>,
    pairs: usize,
    to_come: usize,
) {
    for _ in 0..pairs {
        let place = random.below(LIVE);
        blocks.swap_remove(place).free(allocator);
        blocks.push(Block::new(allocator, random.within(SIZES)));
    }
    if to_come > 0 {
        scope.spawn(move || generation(scope, allocator, random, blocks, pairs, to_come - 1));
    } else {
        free_all(allocator, blocks);
    }
}
