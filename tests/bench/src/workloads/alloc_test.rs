//! After alloc-test: few places are used often and many seldom, sizes are small mostly, and every block is written in full.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Places for blocks, over all threads.
const PLACES: usize = 1 << 15;

/// Each turn frees the block at a place, or puts one there.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let turns = job.part(14_000_000);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut places: Vec<Option<Block>> = Vec::new();
        places.resize_with((PLACES / job.threads).max(1024), || None);
        for _ in 0..turns {
            let place = skewed(&mut random, places.len());
            match places[place].take() {
                Some(block) => block.check_and_free(allocator),
                None => places[place] = Some(Block::filled(allocator, size(&mut random))),
            }
        }
        free_all(allocator, places.into_iter().flatten());
    });
    job.all(turns)
}

/// Four of five go to one fifth of the places, and so on within that fifth.
fn skewed(random: &mut Random, count: usize) -> usize {
    let mut count = count;
    while count > 16 && random.below(5) < 4 {
        count /= 5;
    }
    random.below(count)
}

/// Of each power of two up to 1 KiB as many as of the next.
fn size(random: &mut Random) -> usize {
    let power = 8 << random.below(8);
    random.within(power..2 * power)
}
