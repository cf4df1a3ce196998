//! Vectors that grow as `Vec` does: twice the room, by `realloc`, many of them at a time; and single blocks that grow in smaller steps.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, on_threads};
use crate::numbers::Random;

/// Vectors that grow side by side.
const VECTORS: usize = 64;
const FIRST: usize = 16;

/// Each turn doubles one vector and writes its new half, or frees it when it is as big as it shall become.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let turns = job.part(1_600_000);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut vectors: Vec<(Block, usize)> = (0..VECTORS).map(|_| fresh(allocator, &mut random)).collect();
        for _ in 0..turns {
            let place = random.below(VECTORS);
            let (block, limit) = &mut vectors[place];
            let size = block.size();
            if size < *limit {
                block.resize(allocator, 2 * size);
                block.fill_from(size, 1);
            } else {
                vectors.swap_remove(place).0.free(allocator);
                vectors.push(fresh(allocator, &mut random));
            }
        }
        vectors.into_iter().for_each(|(block, _)| block.free(allocator));
    });
    job.all(turns)
}

/// A block that grows to so many bytes by `step`, which is told its size, and is written.
pub fn one<A: GlobalAlloc>(allocator: &A, most: usize, step: impl Fn(usize) -> usize) -> u64 {
    let (mut block, mut steps) = (Block::new(allocator, 1000), 0);
    while block.size() < most {
        let size = block.size();
        block.resize(allocator, size + step(size));
        block.fill_from(size, 1);
        steps += 1;
    }
    block.free(allocator);
    steps
}

/// An empty vector and the size it will have: small ones are frequent, one in 2,048 gets 1 MiB.
fn fresh<A: GlobalAlloc>(allocator: &A, random: &mut Random) -> (Block, usize) {
    let doublings = (random.below(1 << 12) as u32 | 1).leading_zeros() - 20;
    (Block::new(allocator, FIRST), (64 * FIRST) << doublings.min(10))
}
