//! After the descriptions of sh6bench and sh8bench: waves of blocks of up to 1,000 bytes, small ones mostly, that are freed in the
//! order of allocation, in the opposite one, in both by turns, or much later; in sh8 half of the waves go to another thread.

use std::alloc::GlobalAlloc;
use std::sync::{Mutex, PoisonError};

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Blocks in a wave.
const WAVE: usize = 2_000;
/// Waves that are kept while others come and go.
const KEPT: usize = 8;
const BLOCKS: usize = 15_000_000;

/// Each thread frees its own blocks.
pub fn alone<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let waves = job.part(BLOCKS / WAVE);
    on_threads(job.threads, |number| {
        let mut waves_of_thread = Waves::new(number);
        (0..waves).for_each(|turn| waves_of_thread.turn(allocator, turn));
        waves_of_thread.end(allocator);
    });
    job.all(waves * WAVE)
}

/// Every other wave is left for the next thread, which frees it.
pub fn together<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let waves = job.part(BLOCKS / WAVE);
    let places: Vec<Mutex<Vec<Block>>> = (0..job.threads).map(|_| Mutex::default()).collect();
    on_threads(job.threads, |number| {
        let mut waves_of_thread = Waves::new(number);
        for turn in 0..waves {
            if turn % 2 == 0 {
                waves_of_thread.turn(allocator, turn / 2);
                continue;
            }
            let mut wave = waves_of_thread.wave(allocator);
            let next = &places[(number + 1) % places.len()];
            // What the next thread did not fetch comes back.
            std::mem::swap(&mut wave, &mut next.lock().unwrap_or_else(PoisonError::into_inner));
            waves_of_thread.recycle(allocator, wave);
            let own = std::mem::take(&mut *places[number].lock().unwrap_or_else(PoisonError::into_inner));
            waves_of_thread.recycle(allocator, own);
        }
        waves_of_thread.end(allocator);
    });
    places.into_iter().for_each(|place| free_all(allocator, place.into_inner().unwrap_or_else(PoisonError::into_inner)));
    job.all(waves * WAVE)
}

/// One thread's blocks.
struct Waves {
    random: Random,
    kept: [Vec<Block>; KEPT],
    /// Empty lists, so that the harness needs no memory after its start.
    lists: Vec<Vec<Block>>,
}

impl Waves {
    fn new(number: usize) -> Self {
        Waves { random: Random::seeded(number as u64), kept: [const { Vec::new() }; KEPT], lists: Vec::new() }
    }

    /// New blocks.
    fn wave<A: GlobalAlloc>(&mut self, allocator: &A) -> Vec<Block> {
        let mut wave = self.lists.pop().unwrap_or_else(|| Vec::with_capacity(WAVE));
        // The smaller of two: small sizes are frequent.
        wave.extend((0..WAVE).map(|_| {
            let size = self.random.within(1..1_001).min(self.random.within(1..1_001));
            Block::new(allocator, size)
        }));
        wave
    }

    fn recycle<A: GlobalAlloc>(&mut self, allocator: &A, mut wave: Vec<Block>) {
        free_all(allocator, wave.drain(..));
        self.lists.push(wave);
    }

    fn turn<A: GlobalAlloc>(&mut self, allocator: &A, turn: usize) {
        let mut wave = self.wave(allocator);
        match turn % 4 {
            0 => free_all(allocator, wave.drain(..)),
            1 => free_all(allocator, wave.drain(..).rev()),
            2 => {
                // From both ends, by turns.
                let mut blocks = wave.drain(..);
                while let Some(block) = blocks.next() {
                    block.free(allocator);
                    free_all(allocator, blocks.next_back());
                }
            }
            _ => {
                std::mem::swap(&mut wave, &mut self.kept[turn / 4 % KEPT]);
                free_all(allocator, wave.drain(..));
            }
        }
        self.lists.push(wave);
    }

    fn end<A: GlobalAlloc>(self, allocator: &A) {
        self.kept.into_iter().for_each(|wave| free_all(allocator, wave));
    }
}
