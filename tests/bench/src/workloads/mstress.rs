//! After mstress: phases with new threads in each; blocks of mixed sizes that are freed at random, retained until the phase ends,
//! or moved to other threads.

use std::alloc::GlobalAlloc;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Job;
use super::block::{Block, free_all, on_threads};
use crate::numbers::Random;

/// Blocks that a thread allocates in a phase; half as many again are retained.
const BLOCKS: usize = 8_000;
/// Places through which blocks change threads.
const PLACES: usize = 1_000;

/// Blocks on their way; each has its size in its first word.
type Places = [AtomicPtr<u8>];

/// As many phases as the work is worth.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let phases = job.part(4_000_000 / BLOCKS);
    let places: Vec<AtomicPtr<u8>> = (0..PLACES).map(|_| AtomicPtr::new(null_mut())).collect();
    // Tests do not have the time for a whole phase.
    let blocks = ((BLOCKS as f64 * job.work.sqrt()) as usize).max(1);
    for phase in 0..phases {
        on_threads(job.threads, |number| {
            one_phase(allocator, &places, Random::seeded((phase * job.threads + number) as u64), blocks);
        });
    }
    places.iter().filter_map(|place| swap(place, None)).for_each(|block| block.free(allocator));
    job.all(phases * (blocks + blocks / 2))
}

fn one_phase<A: GlobalAlloc>(allocator: &A, places: &Places, mut random: Random, blocks: usize) {
    let (mut moving, mut retained) = (Vec::with_capacity(blocks), Vec::with_capacity(blocks / 2));
    let (mut to_move, mut to_retain) = (blocks, blocks / 2);
    while to_move > 0 || to_retain > 0 {
        let block = labelled(allocator, size(&mut random));
        if to_retain == 0 || (to_move > 0 && random.below(2) == 0) {
            to_move -= 1;
            moving.push(block);
        } else {
            to_retain -= 1;
            retained.push(block);
        }
        if !moving.is_empty() && random.below(3) < 2 {
            let place = random.below(moving.len());
            moving.swap_remove(place).free(allocator);
        }
        if !moving.is_empty() && random.below(4) == 0 {
            let place = random.below(moving.len());
            let block = moving.swap_remove(place);
            moving.extend(swap(&places[random.below(places.len())], Some(block)));
        }
    }
    free_all(allocator, retained);
    free_all(allocator, moving);
}

/// 16 to 256 bytes; one in a hundred ten times that, one in a thousand a hundred times.
fn size(random: &mut Random) -> usize {
    let size = 8 * random.within(2..33);
    match random.below(1_000) {
        0 => size * 100,
        1..=10 => size * 10,
        _ => size,
    }
}

/// A block with its size in the first word, and written in full.
fn labelled<A: GlobalAlloc>(allocator: &A, size: usize) -> Block {
    let mut block = Block::new(allocator, size);
    block.fill(0x5A);
    // SAFETY: it has at least two words, and is aligned to 8.
    unsafe { block.start().cast::<usize>().write(size) };
    block
}

/// Leaves a labelled block at a place, and takes the one that was there.
fn swap(place: &AtomicPtr<u8>, block: Option<Block>) -> Option<Block> {
    let start = block.map_or(null_mut(), |block| block.into_start().as_ptr());
    // Acquire and release: what its last owner wrote into a block is seen by the next.
    NonNull::new(place.swap(start, Ordering::AcqRel)).map(|start| {
        // SAFETY: only labelled blocks that were given up are left there, and the swap gives each to one thread.
        unsafe { Block::from_start(start, start.cast::<usize>().read()) }
    })
}
