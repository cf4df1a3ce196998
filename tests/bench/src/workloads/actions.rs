//! After talc's random actions: allocate, free, or change the size of a random block.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Live blocks of a thread, at most.
const LIVE: usize = 2_000;

/// Sizes go up to `most`; with `write` blocks are written in full, also what `realloc` added.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job, most: usize, write: bool) -> u64 {
    let actions = job.part(if most > 1_000 { 3_000_000 } else { 12_000_000 });
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut blocks: Vec<Block> = Vec::with_capacity(LIVE);
        for _ in 0..actions {
            let action = random.below(5);
            if blocks.is_empty() || (action < 2 && blocks.len() < LIVE) {
                let size = random.within(1..most + 1);
                blocks.push(if write { Block::filled(allocator, size) } else { Block::new(allocator, size) });
                continue;
            }
            let place = random.below(blocks.len());
            if action < 4 {
                blocks.swap_remove(place).free(allocator);
            } else {
                let block = &mut blocks[place];
                let before = block.size();
                block.resize(allocator, random.within(1..most + 1));
                if write {
                    block.fill_from(before.min(block.size()), 1);
                }
            }
        }
        free_all(allocator, blocks);
    });
    job.all(actions)
}
