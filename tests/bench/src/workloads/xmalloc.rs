//! After xmalloc-test: one thread of each pair allocates batches of blocks of 64 bytes, the other frees them.

use std::alloc::GlobalAlloc;
use std::sync::{Condvar, Mutex, PoisonError};

use super::Job;
use super::block::{Block, free_all, on_threads};

const SIZE: usize = 64;
/// Blocks in a batch.
const BATCH: usize = 4_096;
/// Batches for each pair of threads: what may be under way.
const BATCHES: usize = 4;

/// A place where batches wait.
#[derive(Default)]
struct Queue {
    batches: Mutex<Vec<Vec<Block>>>,
    changed: Condvar,
}

impl Queue {
    fn put(&self, batch: Vec<Block>) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<Block> {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match batches.pop() {
                Some(batch) => return batch,
                None => batches = self.changed.wait(batches).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Half of the threads are producers. All take from and put to the same two queues, so that batches go to any consumer.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let pairs = (job.threads / 2).max(1);
    let batches = Job { threads: pairs, ..*job }.part(18_000_000 / BATCH);
    let (empty, full) = (Queue::default(), Queue::default());
    // The lists circulate: nothing but the allocator under test is busy.
    (0..pairs * BATCHES).for_each(|_| empty.put(Vec::with_capacity(BATCH)));
    on_threads(2 * pairs, |number| {
        for _ in 0..batches {
            if number % 2 == 0 {
                let mut batch = empty.take();
                batch.extend((0..BATCH).map(|_| Block::new(allocator, SIZE)));
                full.put(batch);
            } else {
                let mut batch = full.take();
                free_all(allocator, batch.drain(..));
                empty.put(batch);
            }
        }
    });
    (batches * pairs * BATCH) as u64
}
