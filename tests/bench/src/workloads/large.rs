//! After malloc-large: big buffers that are replaced and written.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Live buffers, over all threads.
const LIVE: usize = 16;
const MIB: usize = 1 << 20;

/// Each turn replaces any of the buffers by one of 5 to 25 MiB and writes it.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let turns = job.part(80);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let live = (LIVE / job.threads).max(1);
        let mut buffers: Vec<Block> = Vec::with_capacity(live);
        for _ in 0..turns {
            if buffers.len() == live {
                let place = random.below(live);
                buffers.swap_remove(place).free(allocator);
            }
            buffers.push(Block::filled(allocator, random.within(5 * MIB..25 * MIB)));
        }
        free_all(allocator, buffers);
    });
    job.all(turns)
}
