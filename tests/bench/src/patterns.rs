//! What is done to an allocator: loops of allocate and free on one thread.
//!
//! Every block is written to once, in its first word. The pseudo-random numbers are the same for every allocator and run.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::time::Instant;

use crate::numbers::Random;
use crate::subject::{Visit, allocate, deallocate};

/// A loop of allocate and free.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub shows: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Allocate one, free it at once.
    LastInFirstOut,
    /// Allocate so many of 64 bytes, free them in the opposite order.
    Batch(usize),
    /// So many are live; each turn frees the oldest and allocates one.
    Oldest(usize),
    /// So many are live; each turn frees any of them and allocates one.
    Random(usize),
}

/// All patterns, in the order of the results.
pub const PATTERNS: [Pattern; 6] = [
    Pattern { name: "lifo", shows: "allocate one, free it at once; 16 to 72 B", kind: Kind::LastInFirstOut },
    Pattern { name: "batch 100", shows: "allocate 100 of 64 B, free them in the opposite order", kind: Kind::Batch(100) },
    Pattern { name: "fifo 1k", shows: "1,000 live, the oldest is replaced; 16 to 1024 B", kind: Kind::Oldest(1_000) },
    Pattern { name: "random 1k", shows: "1,000 live, any of them is replaced; 16 to 1024 B", kind: Kind::Random(1_000) },
    Pattern { name: "random 10k", shows: "10,000 live, any of them is replaced; 16 to 1024 B", kind: Kind::Random(10_000) },
    Pattern { name: "random 60k", shows: "60,000 live, any of them is replaced; 16 to 1024 B", kind: Kind::Random(60_000) },
];

const ALIGN: usize = 8;

/// The layout of a block of so many words of 8 bytes.
#[inline(always)]
fn layout_of(words: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and sizes are 1024 bytes at most.
    unsafe { Layout::from_size_align_unchecked(words * 8, ALIGN) }
}

/// One of the live blocks: where it is (null: nowhere), and its size in words.
#[derive(Clone, Copy)]
struct Live {
    block: *mut u8,
    words: usize,
}

/// Runs one pattern; the result is nanoseconds for each pair of allocate and free.
pub struct Run {
    pattern: Pattern,
    pairs: usize,
    live: Vec<Live>,
}

impl Run {
    /// A run of `pairs` pairs of allocate and free.
    pub fn new(pattern: Pattern, pairs: usize) -> Self {
        let most_live = match pattern.kind {
            Kind::LastInFirstOut => 0,
            Kind::Batch(count) | Kind::Oldest(count) | Kind::Random(count) => count,
        };
        Run { pattern, pairs, live: vec![Live { block: null_mut(), words: 0 }; most_live] }
    }
}

impl Visit for Run {
    type Output = f64;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> f64 {
        match self.pattern.kind {
            Kind::LastInFirstOut => last_in_first_out(allocator, self.pairs),
            Kind::Batch(_) => batch(allocator, self.pairs, &mut self.live),
            Kind::Oldest(count) => replace(allocator, self.pairs, &mut self.live, |turn, _| turn % count),
            Kind::Random(count) => replace(allocator, self.pairs, &mut self.live, |_, random| (random >> 40) as usize % count),
        }
    }
}

/// A new block with its first word written.
#[inline(always)]
fn fresh<A: GlobalAlloc>(allocator: &A, words: usize) -> Live {
    // SAFETY: the size is not 0.
    let block = unsafe { allocate(allocator, layout_of(words)) };
    assert!(!block.is_null(), "out of memory");
    // SAFETY: the block has at least one word, aligned to 8.
    unsafe { block.cast::<u64>().write_volatile(1) };
    Live { block, words }
}

/// Frees a block, if there is one.
#[inline(always)]
fn free<A: GlobalAlloc>(allocator: &A, live: Live) {
    if !live.block.is_null() {
        // SAFETY: blocks in `Live` come from `fresh` with the same allocator and size, and are forgotten by the caller.
        unsafe { deallocate(allocator, live.block, layout_of(live.words)) };
    }
}

fn nanoseconds_each(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

fn last_in_first_out<A: GlobalAlloc>(allocator: &A, pairs: usize) -> f64 {
    let start = Instant::now();
    for turn in 0..pairs {
        let live = fresh(allocator, 2 + (turn & 7));
        free(allocator, live);
    }
    nanoseconds_each(start, pairs)
}

fn batch<A: GlobalAlloc>(allocator: &A, pairs: usize, live: &mut [Live]) -> f64 {
    let start = Instant::now();
    for _ in 0..pairs / live.len() {
        for place in live.iter_mut() {
            *place = fresh(allocator, 8);
        }
        for place in live.iter_mut().rev() {
            free(allocator, *place);
            place.block = null_mut();
        }
    }
    nanoseconds_each(start, pairs / live.len() * live.len())
}

fn replace<A: GlobalAlloc>(allocator: &A, pairs: usize, live: &mut [Live], place: impl Fn(usize, u64) -> usize) -> f64 {
    let mut random = Random::new();
    let mut turns = |live: &mut [Live], count: usize| {
        for turn in 0..count {
            let number = random.number();
            let place = &mut live[place(turn, number)];
            free(allocator, *place);
            *place = fresh(allocator, 2 + number as usize % 127);
        }
    };
    // Not timed: every place has its first block.
    for place in live.iter_mut() {
        *place = fresh(allocator, 2);
    }
    turns(live, live.len());
    let start = Instant::now();
    turns(live, pairs);
    let result = nanoseconds_each(start, pairs);
    for place in live.iter_mut() {
        free(allocator, *place);
        place.block = null_mut();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{NAMES, visit};

    #[test]
    fn every_pattern_runs_on_every_allocator() {
        for pattern in PATTERNS {
            for (place, name) in NAMES.iter().enumerate() {
                let nanoseconds = visit(place, &mut Run::new(pattern, 2_000));
                assert!(nanoseconds > 0.0, "{} on {name}: {nanoseconds} ns", pattern.name);
            }
        }
    }
}
