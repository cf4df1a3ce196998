//! After Hoard's two tests of false sharing: each thread writes again and again to a small block. An allocator that gives parts of
//! one cache line to different threads is slow here.

use std::alloc::GlobalAlloc;
use std::sync::Mutex;

use super::Job;
use super::block::{Block, on_threads};

const SIZE: usize = 8;
/// Writes to each block.
const WRITES: usize = 200;

/// Each thread begins with a block that the first thread allocated next to the others.
pub fn scratch<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let turns = job.part(1_500_000);
    let first: Vec<Mutex<Option<Block>>> = (0..job.threads).map(|_| Mutex::new(Some(Block::new(allocator, SIZE)))).collect();
    on_threads(job.threads, |number| {
        let block = first[number].lock().ok().and_then(|mut place| place.take());
        block.expect("each thread takes its own").free(allocator);
        (0..turns).for_each(|_| write(allocator));
    });
    job.all(turns)
}

/// Each thread has its own blocks from the start.
pub fn thrash<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let turns = job.part(1_500_000);
    on_threads(job.threads, |_| (0..turns).for_each(|_| write(allocator)));
    job.all(turns)
}

fn write<A: GlobalAlloc>(allocator: &A) {
    let block = Block::new(allocator, SIZE);
    for byte in 0..WRITES {
        // SAFETY: the block has 8 bytes.
        unsafe { block.start().add(byte % SIZE).write_volatile(byte as u8) };
    }
    block.free(allocator);
}
