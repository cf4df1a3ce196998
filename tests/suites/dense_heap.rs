//! The heap whose blocks lie side by side: the action driver over dirty memory of odd starts and lengths, with and without ready blocks, and what is
//! special about it.

mod growth;

use std::alloc::{GlobalAlloc, Layout};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use coreheap::sources::{FixedRegion, NoPages};
use coreheap::{BlockState, DenseHeap, Exclusion, OneContext, PageSource};
use coreheap_tests::actions::{Counts, Driver, Limits};
use coreheap_tests::blocks::{fill, free_all, holds};
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::seed::each_seed;
use coreheap_tests::sources::TestSource;

use growth::Piecewise;

const KIB: usize = 1024;
const WORD: usize = size_of::<usize>();

/// Blocks of less than so many times two words are ready, in the heaps of these tests that have such.
const READY: usize = 16;

/// What came of random actions.
fn drive<S: PageSource, const READY: usize>(source: S, rng: &mut Rng, contains: impl Fn(&S, usize, usize) -> bool) -> Counts {
    let heap = DenseHeap::<_, _, READY>::new(source, OneContext::new());
    let inside = |start, size| contains(heap.source(), start, size);
    let mut driver = Driver::new(&heap, &inside);
    driver.run(rng, &Limits { size: 2000, align: 4096, live: 300 }, if cfg!(miri) { 60 } else { 4000 });
    driver.finish()
}

/// Many seeds; all that can happen does.
fn random_actions(name: &str, drive: impl Fn(u64, &mut Rng) -> Counts) {
    let mut sum = Counts::default();
    each_seed(name, if cfg!(miri) { 3 } else { 60 }, |seed, mut rng| {
        let counts = drive(seed, &mut rng);
        sum.refused += counts.refused;
        sum.moved += counts.moved;
        sum.resized_in_place += counts.resized_in_place;
    });
    assert!(cfg!(miri) || sum.refused > 0 && sum.moved > 0 && sum.resized_in_place > 0, "{sum:?}");
}

fn random_actions_in_regions<const READY: usize>(name: &str) {
    random_actions(name, |seed, rng| {
        let source = TestSource::<0>::new(&[[37, 4099, 777], [16 * KIB + 1, 1, 300], [900, 901, 902]][seed as usize % 3]);
        source.refusals().refuse_every(Call::Reserve, if seed % 2 == 0 { 0 } else { 3 });
        drive::<_, READY>(source, rng, TestSource::contains)
    });
}

fn random_actions_in_pieces<const READY: usize>(name: &str) {
    random_actions(name, |seed, rng| {
        let mut memory = vec![0u128; KIB];
        let strangers_every = [usize::MAX, 2, 5][seed as usize % 3];
        drive::<_, READY>(Piecewise::over(&mut memory, strangers_every), rng, Piecewise::contains)
    });
}

#[test]
fn random_actions_in_regions_apart() {
    random_actions_in_regions::<0>("dense_heap_regions");
}

#[test]
fn random_actions_with_ready_blocks() {
    random_actions_in_regions::<READY>("dense_heap_regions_ready");
    random_actions_in_pieces::<READY>("dense_heap_pieces_ready");
}

#[test]
fn random_actions_in_pieces_that_touch() {
    random_actions_in_pieces::<0>("dense_heap_pieces");
}

/// A heap over dirty memory of its own.
fn over<const READY: usize>(memory: &mut [u64]) -> DenseHeap<FixedRegion, OneContext, READY> {
    memory.fill(0xa5a5_a5a5_a5a5_a5a5);
    // SAFETY: the caller keeps it while the heap is there.
    let source = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(memory)) };
    DenseHeap::new(source, OneContext::new())
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("the test's own layouts are sensible")
}

#[test]
fn nearly_all_memory_holds_blocks_and_all_of_it_comes_back() {
    fills::<0>();
    fills::<READY>();
}

fn fills<const READY: usize>() {
    let regions: &[usize] = if cfg!(miri) { &[2, 4] } else { &[2, 4, 8, 16, 64] };
    for &kib in regions {
        let mut memory = vec![0u64; kib * KIB / 8];
        let heap = over::<READY>(&mut memory);
        let mut rng = Rng::new(kib as u64);
        let whole = {
            let probe = heap.allocate(Layout::new::<u8>()).expect("room");
            // SAFETY: a block of this heap.
            unsafe { heap.deallocate(probe, Layout::new::<u8>()) };
            heap.stats().largest_free_run
        };
        assert!(whole + 5 * WORD >= kib * KIB, "{whole} of {kib} KiB are for blocks");
        for _ in 0..if cfg!(miri) { 1 } else { 20 } {
            let blocks = fill(&heap, || layout(64 + rng.below(kib * 16), 1 << rng.below(4)));
            let bytes: usize = blocks.iter().map(|(_, layout)| layout.size()).sum();
            heap.assert_valid();
            assert!(bytes * 10 >= whole * if kib == 2 { 6 } else { 8 }, "{bytes} of {whole} bytes");
            // SAFETY: blocks of this heap.
            unsafe { free_all(&heap, &mut rng, blocks) };
            heap.assert_valid();
            assert_eq!((heap.stats().used, heap.stats().largest_free_run), (0, whole));
        }
        let block = heap.allocate_zeroed(layout(whole, 8)).expect("all of it as one block");
        // SAFETY: the block's bytes, of a block of this heap.
        unsafe {
            assert!(holds(block, whole, 0));
            let shrunk = heap.reallocate(block, layout(whole, 8), 24).expect("it shrinks");
            assert_eq!((shrunk, heap.stats().used), (block, 32));
            assert_eq!(heap.reallocate(shrunk, layout(24, 8), whole), Some(block), "it grows");
            heap.deallocate_unsized(block.as_ptr());
            heap.deallocate_unsized(std::ptr::null_mut());
        }
        assert_eq!((heap.stats().used, heap.stats().largest_free_run), (0, whole));
    }
}

/// Bytes in use after a block of six granules shrank by one, with free memory behind it.
fn used_after_shrinking<const READY: usize>() -> usize {
    let mut memory = vec![0u64; 512];
    let heap = over::<READY>(&mut memory);
    let sizes = [6, 5].map(|granules| layout(granules * 2 * WORD - WORD, 8));
    let block = heap.allocate(sizes[0]).expect("room");
    // SAFETY: a block of this heap.
    assert_eq!(unsafe { heap.reallocate(block, sizes[0], sizes[1].size()) }, Some(block));
    heap.stats().used
}

#[test]
fn where_blocks_are_ready_one_that_shrinks_a_little_keeps_its_room() {
    assert_eq!((used_after_shrinking::<0>(), used_after_shrinking::<READY>()), (10 * WORD, 12 * WORD));
}

#[test]
fn a_ready_block_serves_the_next_request_of_about_its_size() {
    let mut memory = vec![0u64; 512];
    let heap = over::<READY>(&mut memory);
    let of = |granules: usize| layout(granules * 2 * WORD - WORD, 8);
    let block = heap.allocate(of(5)).expect("room");
    // SAFETY: a block of this heap.
    unsafe {
        heap.deallocate(block, of(5));
        assert_eq!(heap.allocate(of(5)), Some(block));
        heap.deallocate(block, of(5));
        assert_eq!(heap.allocate(of(4)), Some(block), "it is one granule longer");
        assert_eq!(heap.usable_size(block), of(5).size());
        heap.deallocate(block, of(4));
        assert!(heap.allocate(of(6)) != Some(block) && heap.allocate(of(3)) != Some(block), "too short, and too long");
        let aligned = heap.allocate(layout(of(5).size(), 1024)).expect("room");
        assert!(aligned.addr().get().is_multiple_of(1024));
    }
}

#[test]
fn what_is_ready_is_joined_before_memory_runs_out() {
    let mut memory = vec![0u64; 512];
    let heap = over::<READY>(&mut memory);
    let small = layout(40, 8);
    let blocks: Vec<_> = std::iter::from_fn(|| heap.allocate(small)).collect();
    // SAFETY: blocks of this heap.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, small) });
    assert!(heap.allocate(layout(3000, 8)).is_some());
}

#[test]
fn a_heap_knows_its_memory_by_address() {
    let mut memory = vec![0u64; 512];
    let start = memory.as_ptr().cast::<u8>();
    let heap = over::<0>(&mut memory);
    assert!(!heap.contains(start), "it has none yet");
    heap.allocate(layout(24, 8)).expect("room");
    let end = start.with_addr(all_blocks(&heap, 10).last().expect("some").0.end);
    assert_eq!([start.wrapping_sub(1), start, end.wrapping_sub(1), end].map(|at| heap.contains(at)), [false, true, true, false]);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut memory = vec![0u64; 512];
    let heap = over::<0>(&mut memory);
    for (size, align) in [(4096, 8), (isize::MAX as usize - 15, 16), (1, 1 << (usize::BITS - 2))] {
        assert_eq!(heap.allocate(layout(size, align)), None, "{size} at {align}");
    }
    assert_eq!(heap.stats().used, 0);
    let empty = heap.allocate(layout(0, 64)).expect("size 0 has an address of its own");
    assert!(empty.addr().get().is_multiple_of(64));
    assert_eq!(DenseHeap::<_, _>::new(NoPages, OneContext::new()).allocate(Layout::new::<u8>()), None);
    let mut tiny = [0u64; 2];
    assert_eq!(over::<0>(&mut tiny).allocate(Layout::new::<u8>()), None, "too small for its books");
    // SAFETY: as `alloc` asks.
    unsafe {
        assert!(heap.alloc(Layout::new::<[u8; 4096]>()).is_null());
        let block = heap.alloc(Layout::new::<u64>());
        assert!(heap.realloc(block, Layout::new::<u64>(), 5000).is_null());
        heap.dealloc(block, Layout::new::<u64>());
    }
}

#[test]
fn mistakes_are_seen() {
    see_mistakes::<0>();
    see_mistakes::<READY>();
}

fn see_mistakes<const READY: usize>() {
    let mut memory = vec![0u64; 512];
    let heap = over::<READY>(&mut memory);
    let layout = layout(24, 8);
    let block = heap.allocate(layout).expect("room");
    let behind = heap.allocate(layout).expect("room");
    let mistakes = |address: *mut u8, layout: Layout, words: &str| {
        // SAFETY: a mistake on purpose: a debug build panics, a release build leaves it alone.
        let seen =
            catch_unwind(AssertUnwindSafe(|| unsafe { heap.deallocate(NonNull::new(address).expect("not null"), layout) }));
        let text = seen.err().and_then(|panic| panic.downcast_ref::<String>().cloned());
        assert_eq!(text.is_some(), cfg!(debug_assertions), "{words}");
        assert!(text.is_none_or(|text| text.contains(words)), "{words}");
    };
    mistakes(block.as_ptr(), Layout::new::<[u8; 200]>(), "this layout");
    if cfg!(debug_assertions) {
        let mut elsewhere = [0u64; 6];
        mistakes(elsewhere[2..].as_mut_ptr().cast(), layout, "not a block");
        mistakes(block.as_ptr().wrapping_add(1), layout, "not a block");
    }
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout) };
    mistakes(block.as_ptr(), layout, "double free");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(behind, layout) };
    assert_eq!((heap.stats().misuses, heap.stats().used), (if cfg!(debug_assertions) { 4 } else { 2 }, 0));
}

#[test]
fn every_block_is_shown() {
    show_blocks::<0>(BlockState::Free);
    show_blocks::<READY>(BlockState::Ready);
}

/// The blocks of a heap, `many` at a time.
fn all_blocks<const READY: usize>(
    heap: &DenseHeap<FixedRegion, OneContext, READY>,
    many: usize,
) -> Vec<(Range<usize>, BlockState)> {
    let (mut seen, mut room) = (Vec::new(), vec![(0..0, BlockState::Free); many]);
    loop {
        let copied = heap.copy_blocks(seen.len(), &mut room);
        seen.extend_from_slice(&room[..copied]);
        if copied < many {
            return seen;
        }
    }
}

fn show_blocks<const READY: usize>(freed: BlockState) {
    let mut memory = vec![0u64; 512];
    let heap = over::<READY>(&mut memory);
    let blocks = [40, 24, 100].map(|size| heap.allocate(layout(size, 8)).expect("room"));
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(blocks[1], layout(24, 8)) };
    let seen = all_blocks(&heap, 10);
    assert_eq!(seen, all_blocks(&heap, 1), "one by one");
    assert!(seen.iter().map(|(_, state)| *state).eq([BlockState::Used, freed, BlockState::Used, BlockState::Free]), "{seen:x?}");
    assert!(seen.iter().zip(blocks).all(|((block, _), room)| block.start + WORD == room.addr().get()), "{seen:x?}");
    assert!(seen.windows(2).all(|pair| pair[0].0.end == pair[1].0.start), "side by side: {seen:x?}");
    assert_eq!(seen[3].0.end - seen[0].0.start, heap.stats().capacity);
}

#[test]
fn a_ready_block_that_is_too_short_is_left_where_it_is() {
    let mut memory = vec![0u64; 4 * KIB];
    // Of a class of several sizes.
    let heap = over::<72>(&mut memory);
    let sizes = [40, 41, 42, 43].map(|granules| layout(granules * 2 * WORD - WORD, 8));
    for short in sizes {
        for long in sizes {
            let block = heap.allocate(short).expect("room");
            let behind = heap.allocate(layout(24, 8)).expect("room");
            // SAFETY: blocks of this heap.
            unsafe {
                heap.deallocate(block, short);
                let other = heap.allocate(long).expect("room");
                assert!(heap.usable_size(other) >= long.size(), "{long:?} after {short:?}");
                heap.deallocate(other, long);
                heap.deallocate(behind, layout(24, 8));
            }
            // It joins what is ready.
            assert_eq!(heap.stats().used, 0);
            heap.assert_valid();
        }
    }
}

#[test]
fn one_context_at_a_time() {
    let exclusion = OneContext::new();
    let second = exclusion.alone(|| catch_unwind(AssertUnwindSafe(|| exclusion.alone(|| ()))));
    assert!(second.is_err());
    exclusion.alone(|| ());
}
