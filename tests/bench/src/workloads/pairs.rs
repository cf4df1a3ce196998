//! Pairs of allocate and free, in the three orders that are easy to tell apart.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

const SIZES: std::ops::Range<usize> = 16..1025;

/// Allocate one, free it at once.
pub fn last_in_first_out<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let pairs = job.part(50_000_000);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        for _ in 0..pairs {
            Block::new(allocator, random.within(SIZES)).free(allocator);
        }
    });
    job.all(pairs)
}

/// The same with blocks of one size, which the compiler knows.
pub fn last_in_first_out_of_one_size<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let pairs = job.part(100_000_000);
    on_threads(job.threads, |_| (0..pairs).for_each(|_| Block::new(allocator, 48).free(allocator)));
    job.all(pairs)
}

/// So many are live on each thread; each turn frees the oldest and allocates one.
pub fn first_in_first_out<A: GlobalAlloc + Sync>(allocator: &A, job: &Job, live: usize) -> u64 {
    replace(allocator, job, live, 20_000_000, |turn, _| turn % live)
}

/// So many are live on each thread; each turn frees any of them and allocates one.
pub fn random<A: GlobalAlloc + Sync>(allocator: &A, job: &Job, live: usize) -> u64 {
    let pairs = if live > 1_000 { 12_000_000 } else { 20_000_000 };
    replace(allocator, job, live, pairs, |_, random| random.below(live))
}

/// 100 blocks of one big size are live on each thread; each turn frees any of them and allocates one. Their first bytes are written.
pub fn random_of_one_size<A: GlobalAlloc + Sync>(allocator: &A, job: &Job, size: usize) -> u64 {
    const LIVE: usize = 100;
    let pairs = job.part(10_000_000);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut blocks: Vec<Option<Block>> = (0..LIVE).map(|_| Some(Block::new(allocator, size))).collect();
        for _ in 0..pairs {
            let place = &mut blocks[random.below(LIVE)];
            free_all(allocator, place.take());
            *place = Some(Block::new(allocator, size));
        }
        free_all(allocator, blocks.into_iter().flatten());
    });
    job.all(pairs + LIVE)
}

fn replace<A: GlobalAlloc + Sync>(
    allocator: &A,
    job: &Job,
    live: usize,
    pairs: usize,
    place: impl Fn(usize, &mut Random) -> usize + Sync,
) -> u64 {
    let pairs = job.part(pairs);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut blocks: Vec<Option<Block>> = (0..live).map(|_| Some(Block::new(allocator, random.within(SIZES)))).collect();
        for turn in 0..pairs {
            let place = &mut blocks[place(turn, &mut random)];
            // The old one goes first, so that the new one may have its memory.
            free_all(allocator, place.take());
            *place = Some(Block::new(allocator, random.within(SIZES)));
        }
        free_all(allocator, blocks.into_iter().flatten());
    });
    job.all(pairs + live)
}
