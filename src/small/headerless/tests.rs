//! Double frees that a debug build sees before the heap does, told to the heap itself.

use core::ptr::NonNull;

use super::alone::{Alone, Headerless};
use super::bins::longest_for;
use super::chunk::{CARD, Chunk};
use super::*;
use crate::base::misuse::Misuse;
use crate::source::page_source::Region;
use crate::source::sources::FixedRegion;

mod asking;
mod edges;

const BLOCK: usize = 4 * GRANULE;

/// Runs `work` in a small heap.
fn with_heap(work: impl FnOnce(&mut Alone<'_, FixedRegion>)) {
    with_heap_of(1000, work);
}

/// Runs `work` in a heap with one chunk, of so many words that were dirty.
fn with_heap_of(words: usize, work: impl FnOnce(&mut Alone<'_, FixedRegion>)) {
    let mut memory = std::vec![0xa5a5_a5a5_u64; words];
    let region = Region { start: NonNull::new(memory.as_mut_ptr()).expect("an array").cast(), size: 8 * words };
    // SAFETY: memory that stays until the end of this function.
    let source = unsafe { FixedRegion::over(region.start.as_ptr(), region.size) };
    let mut state = Headerless::new();
    let mut heap = Alone::new(&source, &mut state);
    heap.add(Chunk::create(Words(&source), region).expect("room"));
    work(&mut heap);
    heap.assert_valid();
}

/// Blocks side by side in one card. Most of the memory is in use, so that none becomes ready.
fn blocks<const N: usize>(heap: &mut Alone<'_, FixedRegion>) -> [usize; N] {
    let mut allocate = |size| {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        heap.allocate(layout).expect("room").get()
    };
    allocate(5000);
    let last = allocate(LEAST);
    if last % CARD > CARD / 2 {
        // They are in the next one.
        allocate(CARD - last % CARD);
    }
    let blocks = [(); N].map(|()| allocate(BLOCK));
    assert!(blocks.is_sorted_by(|block, next| block + BLOCK == *next), "side by side: {blocks:x?}");
    blocks
}

#[test]
fn a_double_free_is_seen_whatever_is_free_around_it() {
    // Whether the block before is free as well, and the one behind.
    for (before, behind) in [(false, false), (true, false), (false, true), (true, true)] {
        with_heap(|heap| {
            let [_first, left, block, right, _last] = blocks(heap);
            assert_eq!(heap.free(block, BLOCK), Ok(()));
            for other in [(before, left), (behind, right)].into_iter().filter_map(|(is_free, block)| is_free.then_some(block)) {
                assert_eq!(heap.free(other, BLOCK), Ok(()));
            }
            assert_eq!(heap.free(block, BLOCK), Err(Misuse::DoubleFree), "{before}, {behind}");
            heap.assert_valid();
        });
    }
}

#[test]
fn a_block_that_overlaps_what_is_free_is_a_double_free() {
    for shift in [GRANULE, BLOCK / 2] {
        with_heap(|heap| {
            let [_first, block, _last] = blocks(heap);
            assert_eq!(heap.free(block, BLOCK), Ok(()));
            // It begins in a free run that begins before it, or ends in one that begins inside it.
            assert_eq!(heap.free(block + shift, BLOCK), Err(Misuse::DoubleFree), "{shift} behind");
            assert_eq!(heap.free(block - shift, BLOCK), Err(Misuse::DoubleFree), "{shift} before");
        });
    }
}

#[test]
fn what_lies_in_no_chunk_is_foreign() {
    with_heap(|heap| {
        let [block] = blocks(heap);
        let chunk = heap.chunks().next().expect("one");
        let (start, end) = (chunk.start(heap.words), chunk.end(heap.words));
        for other in [start - GRANULE, end, block + 1, block + WORD] {
            assert_eq!(heap.free(other, BLOCK), Err(Misuse::Foreign), "{other:#x} of {start:#x} to {end:#x}");
            assert_eq!(heap.check(other), Err(Misuse::Foreign));
        }
        assert_eq!((heap.check(block), heap.free(block, BLOCK)), (Ok(()), Ok(())));
    });
}

#[test]
fn a_region_is_asked_for_that_is_as_short_as_can_be() {
    for len in (LEAST..3000).step_by(GRANULE).chain([64 * 1024, 1024 * 1024]) {
        let least = Chunk::least_region_for(len);
        let enough = Chunk::region_for(longest_for(len, 1)).expect("not too long");
        assert!(len < least && least < enough && enough - least < 8 * GRANULE + len / 128, "{len}: {least} to {enough}");
    }
}

/// Uses all memory up in blocks of these lengths, then frees every second one of the first `count`.
fn gaps(heap: &mut Alone<'_, FixedRegion>, lens: &[usize], count: usize) -> std::vec::Vec<usize> {
    let allocate = |heap: &mut Alone<'_, FixedRegion>, size| {
        heap.allocate(Layout::from_size_align(size, 8).expect("a layout")).map(NonZeroUsize::get)
    };
    let blocks: std::vec::Vec<_> =
        (0..2 * count).map(|index| allocate(heap, lens[index / 2 % lens.len()]).expect("room")).collect();
    // What is left, a run at a time.
    let rest: std::vec::Vec<_> = heap.chunks().flat_map(|chunk| chunk.runs(heap.words)).map(|run| run.len).collect();
    rest.into_iter().filter(|len| *len >= LEAST).for_each(|len| assert!(allocate(heap, len).is_some()));
    assert_eq!(allocate(heap, LEAST), None);
    let freed = blocks.into_iter().step_by(2);
    freed.zip(lens.iter().cycle()).map(|(block, len)| (assert_eq!(heap.free(block, *len), Ok(())), block).1).collect()
}

#[test]
fn of_long_runs_the_shortest_that_fits_is_taken() {
    let lens = [40, 36, 50, 37].map(|granules| granules * GRANULE);
    for first in 0..4 {
        with_heap(|heap| {
            let mut order = lens;
            order.rotate_left(first);
            let gaps = gaps(heap, &order, 4);
            let shortest = gaps[order.iter().position(|len| *len == 36 * GRANULE).expect("there is one")];
            let layout = Layout::from_size_align(35 * GRANULE, 8).expect("a layout");
            assert_eq!(heap.allocate(layout).map(NonZeroUsize::get), Some(shortest));
        });
    }
}

/// Who did not look at all runs that may be long enough is not sure that there is none: of a bin of long ones, and where they must lie well.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn who_did_not_look_at_all_runs_is_not_sure() {
    for (count, len, align, sure) in
        [(16, 50, 8, true), (17, 50, 8, false), (17, 81, 8, true), (1, 3, 1 << (usize::BITS - 2), false)]
    {
        with_heap_of(8000, |heap| {
            gaps(heap, &[40 * GRANULE], count);
            let layout = Layout::from_size_align(len * GRANULE, align).expect("a layout");
            assert_eq!((heap.allocate(layout), heap.may_miss(layout)), (None, !sure), "{count} runs, {len} granules at {align}");
        });
    }
}

#[test]
fn what_is_free_is_known_to_its_ends() {
    with_heap(|heap| {
        let [block, _last] = blocks(heap);
        assert_eq!(heap.check(block), Ok(()));
        assert_eq!(heap.free(block, BLOCK), Ok(()));
        for inside in [block, block + GRANULE, block + BLOCK - GRANULE] {
            assert_eq!(heap.check(inside), Err(Misuse::DoubleFree));
        }
        assert_eq!(heap.check(block + BLOCK), Ok(()));
    });
}
