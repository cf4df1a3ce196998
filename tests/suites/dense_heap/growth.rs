//! Where a dense heap's memory comes from: how much it asks for, and what it does first.

use std::ptr::NonNull;

use coreheap::port::sync::{AtomicUsize, Ordering};
use coreheap::{DenseHeap, OneContext, PageSource, Region, RegionRequest};
use coreheap_tests::sources::TestSource;

use super::{KIB, WORD, layout};

/// Memory that comes piece by piece, each where the one before ends, but for some that a stranger gets.
pub struct Piecewise {
    start: *mut u8,
    size: usize,
    given: AtomicUsize,
    calls: AtomicUsize,
    /// What the last request would have liked.
    preferred: AtomicUsize,
    strangers_every: usize,
}

impl Piecewise {
    /// Pieces are multiples of this.
    const STEP: usize = 1008;

    pub fn over(memory: &mut [u128], strangers_every: usize) -> Self {
        memory.fill(0xa5a5_a5a5_a5a5_a5a5);
        let [given, calls, preferred] = [const { AtomicUsize::new(0) }; 3];
        Piecewise { start: memory.as_mut_ptr().cast(), size: size_of_val(memory), given, calls, preferred, strangers_every }
    }

    pub fn contains(&self, start: usize, size: usize) -> bool {
        start >= self.start.addr() && start + size <= self.start.addr() + self.given.load(Ordering::Relaxed)
    }
}

// SAFETY: one thread has it.
unsafe impl Sync for Piecewise {}

// SAFETY: each piece goes out once, and all of them are of one memory.
unsafe impl PageSource for Piecewise {
    const JOINS: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.preferred.store(request.preferred_size, Ordering::Relaxed);
        let size = request.min_size.next_multiple_of(Self::STEP);
        let is_stranger_first = (self.calls.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.strangers_every);
        let given = self.given.load(Ordering::Relaxed) + if is_stranger_first { Self::STEP } else { 0 };
        (given + size <= self.size).then(|| {
            self.given.store(given + size, Ordering::Relaxed);
            // SAFETY: inside the memory.
            Region { start: unsafe { NonNull::new_unchecked(self.start.add(given)) }, size }
        })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.start.with_addr(address)
    }
}

#[test]
fn a_block_at_the_end_grows_with_the_memory() {
    let mut memory = vec![0u128; 4 * KIB];
    let heap = DenseHeap::<_, _>::new(Piecewise::over(&mut memory, usize::MAX), OneContext::new());
    let mut block = heap.allocate(layout(100, 8)).expect("room");
    let (mut size, mut steps) = (100, 0);
    let start = block;
    while let Some(longer) = {
        // SAFETY: a block of this heap, of this size.
        unsafe { heap.reallocate(block, layout(size, 8), size * 2) }
    } {
        (block, size, steps) = (longer, size * 2, steps + 1);
        assert_eq!(block, start, "nothing is in its way");
        assert!(heap.source().calls.load(Ordering::Relaxed) <= 1 + steps, "it is asked once for what is lacking");
        heap.assert_valid();
    }
    assert!(size > 16 * KIB, "{size} of 64 KiB");
}

/// How many bytes came from the source.
fn given<const READY: usize>(heap: &DenseHeap<Piecewise, OneContext, READY>) -> usize {
    heap.source().given.load(Ordering::Relaxed)
}

#[test]
fn the_last_block_grows_by_as_much_memory_as_it_lacks() {
    let mut memory = vec![0u128; KIB];
    let heap = DenseHeap::<_, _>::new(Piecewise::over(&mut memory, usize::MAX), OneContext::new());
    heap.allocate(layout(24, 8)).expect("room");
    let size = heap.stats().largest_free_run - 8 * WORD;
    let block = heap.allocate(layout(size, 8)).expect("room");
    let before = given(&heap);
    // With what is free behind it, it lacks less than a piece.
    let grown = size + Piecewise::STEP - 2 * WORD;
    // SAFETY: a block of this heap.
    assert_eq!(unsafe { heap.reallocate(block, layout(size, 8), grown) }, Some(block));
    assert_eq!(given(&heap), before + Piecewise::STEP);
}

#[test]
fn where_regions_join_a_heap_grows_by_a_quarter_of_the_newest() {
    let mut memory = vec![0u128; 4 * KIB];
    let heap = DenseHeap::<_, _>::new(Piecewise::over(&mut memory, usize::MAX), OneContext::new());
    for size in [20_000, 8_000, 100] {
        heap.allocate(layout(size, 8)).expect("room");
    }
    let before = given(&heap);
    while given(&heap) == before {
        heap.allocate(layout(100, 8)).expect("room");
    }
    let preferred = heap.source().preferred.load(Ordering::Relaxed);
    assert!((before / 4 - 4 * WORD..=before / 4).contains(&preferred), "{preferred} for {before}");
}

#[test]
fn a_block_that_is_not_the_last_takes_no_memory_that_it_does_not_need() {
    let mut memory = vec![0u128; 4 * KIB];
    let heap = DenseHeap::<_, _>::new(Piecewise::over(&mut memory, usize::MAX), OneContext::new());
    let block = heap.allocate(layout(100, 8)).expect("room");
    heap.allocate(layout(24, 8)).expect("room");
    let (before, size) = (given(&heap), heap.stats().largest_free_run + 2 * KIB);
    // SAFETY: a block of this heap.
    assert!(unsafe { heap.reallocate(block, layout(100, 8), size) }.is_some_and(|moved| moved != block));
    assert!(given(&heap) <= before + (size + 8 * WORD).next_multiple_of(Piecewise::STEP), "as much as for a new one");
}

#[test]
fn the_last_block_moves_to_where_it_fits_before_memory_is_asked_for() {
    let mut memory = vec![0u128; KIB];
    let heap = DenseHeap::<_, _>::new(Piecewise::over(&mut memory, usize::MAX), OneContext::new());
    let gap = heap.allocate(layout(300, 8)).expect("room");
    heap.allocate(layout(24, 8)).expect("room");
    let size = heap.stats().largest_free_run;
    heap.allocate(layout(size - 6 * WORD - 8, 8)).expect("room");
    let size = heap.stats().largest_free_run;
    let last = heap.allocate(layout(size, 8)).expect("the rest");
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(gap, layout(300, 8));
        let before = given(&heap);
        assert_eq!(heap.reallocate(last, layout(size, 8), 200), Some(gap));
        assert_eq!(given(&heap), before);
    }
}

#[test]
fn where_regions_do_not_join_no_memory_is_asked_for_that_cannot_help() {
    let heap = DenseHeap::<_, _>::new(TestSource::<0>::new(&[4 * KIB, KIB, 8 * KIB]), OneContext::new());
    heap.allocate(layout(24, 8)).expect("room");
    let size = heap.stats().largest_free_run;
    let block = heap.allocate(layout(size, 8)).expect("room");
    // SAFETY: a block of this heap.
    assert!(unsafe { heap.reallocate(block, layout(size, 8), size + 500) }.is_some_and(|moved| moved != block));
    assert_eq!(heap.source().regions_out(), 2, "the one of 1 KiB is too short");
}
