//! Many threads that live for a moment: each allocates a few blocks, frees most of them, and leaves the rest to who started it.

use std::alloc::GlobalAlloc;
use std::thread::scope;

use super::Job;
use super::block::{Block, free_all};
use crate::numbers::Random;

/// Blocks of a thread, and how many of them outlive it.
const BLOCKS: usize = 100;
const LEFT: usize = 10;

/// So many threads at a time, until the work is done.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let rounds = job.part(8_000);
    for round in 0..rounds {
        let left: Vec<Vec<Block>> = scope(|scope| {
            let threads: Vec<_> = (0..job.threads)
                .map(|number| scope.spawn(move || short_life(allocator, (round * job.threads + number) as u64)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread of the benchmark panicked")).collect()
        });
        free_all(allocator, left.into_iter().flatten());
    }
    job.all(rounds * BLOCKS)
}

fn short_life<A: GlobalAlloc>(allocator: &A, seed: u64) -> Vec<Block> {
    let mut random = Random::seeded(seed);
    let mut blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::new(allocator, random.within(16..1_025))).collect();
    free_all(allocator, blocks.drain(LEFT..));
    blocks
}
