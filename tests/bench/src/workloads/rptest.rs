//! After rpmalloc's benchmark: sizes with a linear falloff to 16,000 bytes, freed and allocated at scattered places; every other
//! loop a batch goes to another thread to be freed there.

use std::alloc::GlobalAlloc;
use std::sync::{Mutex, PoisonError};

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Live blocks of a thread.
const LIVE: usize = 1_000;
/// Blocks that are replaced in a loop.
const BATCH: usize = 100;
/// Between one replaced place and the next; has no divisor in common with [`LIVE`].
const STRIDE: usize = 377;

/// Each thread does as many loops.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let loops = job.part(40_000);
    let letters: Vec<Mutex<Vec<Block>>> = (0..job.threads).map(|_| Mutex::default()).collect();
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut blocks: Vec<Block> = (0..LIVE).map(|_| fresh(allocator, &mut random)).collect();
        let mut place = number;
        let mut received = Vec::with_capacity(4 * BATCH);
        for turn in 0..loops {
            for _ in 0..BATCH {
                place = (place + STRIDE) % LIVE;
                // The old block goes first; the last one waits at its place meanwhile.
                blocks.swap_remove(place).free(allocator);
                blocks.push(fresh(allocator, &mut random));
            }
            if turn % 2 == 0 {
                let next = &letters[(number + 1) % job.threads];
                for _ in 0..BATCH / 4 {
                    let block = fresh(allocator, &mut random);
                    next.lock().unwrap_or_else(PoisonError::into_inner).push(block);
                }
                // Lists change hands, and are not allocated anew.
                std::mem::swap(&mut received, &mut letters[number].lock().unwrap_or_else(PoisonError::into_inner));
                free_all(allocator, received.drain(..));
            }
        }
        free_all(allocator, blocks);
    });
    letters.into_iter().for_each(|letter| free_all(allocator, letter.into_inner().unwrap_or_else(PoisonError::into_inner)));
    job.all(loops * BATCH + loops / 2 * (BATCH / 4))
}

fn fresh<A: GlobalAlloc>(allocator: &A, random: &mut Random) -> Block {
    let mut block = Block::new(allocator, random.within(16..16_001).min(random.within(16..16_001)));
    block.touch();
    block
}
