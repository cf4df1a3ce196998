//! After the two malloc benchmarks of the GNU C library.

use std::alloc::GlobalAlloc;

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Blocks in a burst.
const BURSTS: [usize; 4] = [25, 100, 400, 1_600];
const SIZES: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// Live blocks of a thread.
const LIVE: usize = 1_024;

/// Bursts of blocks of one size, freed in the order of allocation.
pub fn simple<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let blocks = job.part(30_000_000 / (BURSTS.len() * SIZES.len())).max(BURSTS[3]);
    let mut operations = 0;
    let mut live = Vec::with_capacity(BURSTS[3]);
    for size in SIZES {
        for burst in BURSTS {
            for _ in 0..blocks / burst {
                live.extend((0..burst).map(|_| Block::new(allocator, size)));
                free_all(allocator, live.drain(..));
                operations += burst as u64;
            }
        }
    }
    operations
}

/// Each thread replaces any of its blocks; the frequency of a size falls with its square.
pub fn thread<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let pairs = job.part(14_000_000);
    on_threads(job.threads, |number| {
        let mut random = Random::seeded(number as u64);
        let mut blocks: Vec<Block> = (0..LIVE).map(|_| Block::new(allocator, size(&mut random))).collect();
        for _ in 0..pairs {
            let place = random.below(LIVE);
            blocks.swap_remove(place).free(allocator);
            blocks.push(Block::new(allocator, size(&mut random)));
        }
        free_all(allocator, blocks);
    });
    job.all(pairs + LIVE)
}

/// 8 to 32,768 bytes: the inverse of an even number, so that twice the size is a quarter as frequent.
fn size(random: &mut Random) -> usize {
    8 * 4_096 / random.within(1..4_097)
}
