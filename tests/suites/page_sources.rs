//! Each optional ability of a page source fires when it is stated.

use coreheap::sources::NoPages;
use coreheap::{Compact, Geometry, Heap, PageSource, SingleCore, Tiny};
use coreheap_tests::blocks::{allocate, free, holds, layout};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::sources::{
    COMMITS, DECOMMITS, DECOMMITTED_IS_ZERO, DISCARDS, FRESH_IS_ZERO, GROWS, OS_PAGES, RELEASES, TestSource,
};
use coreheap_tests::watched::{Ledger, Watched};

const KIB: usize = 1024;
const SIZE: usize = 1024 * KIB;
/// Miri takes minutes for what takes milliseconds: it tests a part.
const ALL: bool = !cfg!(miri);

type OneCore<S, G = Hosted> = Heap<S, SingleCore, G>;

fn heap<S: PageSource, G: Geometry>(source: S) -> OneCore<S, G> {
    Heap::new(source, single_core())
}

#[test]
fn no_pages_no_blocks() {
    let heap: OneCore<_> = heap(NoPages);
    assert_eq!(heap.allocate(layout(1)), None);
    assert_eq!(heap.allocate(layout(SIZE)), None);
    assert_eq!((heap.purge(), heap.purge_aged(), heap.stats().reserved), (0, 0, 0));
    heap.assert_valid();
}

#[test]
fn memory_is_committed_as_it_is_needed() {
    fn check<const ABILITIES: u32, G: Geometry>() {
        let heap: OneCore<_, G> = heap(TestSource::<ABILITIES>::new(&[SIZE]));
        let blocks: Vec<_> = (0..10).map(|index| allocate(&heap, 1000, index)).collect();
        let source = heap.source();
        assert!(source.refusals().granted(Call::Commit) > 0);
        assert!(source.bytes_committed() < SIZE / 2, "{} bytes for ten blocks", source.bytes_committed());
        let before = source.bytes_committed();
        let large = allocate(&heap, 100 * KIB, 1);
        assert!(source.bytes_committed() >= before + 100 * KIB - 8 * KIB);
        assert!(heap.stats().committed <= source.bytes_committed());
        free(&heap, large, 100 * KIB, 1);
        blocks.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, 1000, index));
    }
    check::<{ COMMITS }, Compact>();
    check::<{ COMMITS | OS_PAGES | FRESH_IS_ZERO }, Hosted>();
    if ALL {
        check::<{ COMMITS }, Hosted>();
        check::<{ COMMITS }, Tiny>();
        check::<{ COMMITS | OS_PAGES }, Compact>();
        check::<{ COMMITS | OS_PAGES }, Tiny>();
    }
}

#[test]
fn what_a_heap_says_is_committed_is() {
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS | DECOMMITS | OS_PAGES }>::new(&[SIZE]));
    for size in [10, 5000, 100 * KIB, 300 * KIB] {
        let block = allocate(&heap, size, 3);
        assert_eq!(heap.stats().committed, heap.source().bytes_committed());
        free(&heap, block, size, 3);
        heap.purge();
        assert_eq!(heap.stats().committed, heap.source().bytes_committed());
    }
}

#[test]
fn a_purge_decommits_all_that_is_free() {
    fn check<const ABILITIES: u32, G: Geometry>() {
        let heap: OneCore<_, G> = heap(TestSource::<ABILITIES>::new(&[SIZE]));
        free(&heap, allocate(&heap, 10, 0), 10, 0);
        heap.purge();
        let idle = heap.source().bytes_committed();
        let size = |index: u8| 100 << (index % 4);
        let blocks: Vec<_> = (0..if cfg!(miri) { 16 } else { 200 }).map(|index| allocate(&heap, size(index), index)).collect();
        let large = allocate(&heap, 200 * KIB, 9);
        assert!(heap.source().bytes_committed() > idle + 200 * KIB);
        let live = allocate(&heap, 50 * KIB, 8);
        blocks.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, size(index), index));
        free(&heap, large, 200 * KIB, 9);
        assert!(heap.purge() >= 200 * KIB);
        assert!(heap.source().refusals().granted(Call::Decommit) > 0);
        free(&heap, live, 50 * KIB, 8);
        assert!(heap.purge() > 0);
        assert_eq!(heap.purge(), 0, "nothing is left");
        // More page headers than before, or tables that are committed by now: a few slices.
        let kept = heap.source().bytes_committed() - idle;
        assert!(kept <= 16 * G::SLICE_SIZE.max(KIB), "{kept} bytes are kept for good");
    }
    check::<{ COMMITS | DECOMMITS | OS_PAGES }, Hosted>();
    if ALL {
        check::<{ COMMITS | DECOMMITS }, Hosted>();
        check::<{ COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO }, Compact>();
        check::<{ COMMITS | DECOMMITS }, Tiny>();
    }
}

#[test]
fn small_slices_share_os_pages() {
    fn check<G: Geometry>() {
        let heap: OneCore<_, G> = heap(TestSource::<{ COMMITS | DECOMMITS | OS_PAGES }>::new(&[SIZE]));
        let kept = allocate(&heap, 5 * KIB, 1);
        let freed = allocate(&heap, 50 * KIB, 2);
        let also_kept = allocate(&heap, 5 * KIB, 3);
        free(&heap, freed, 50 * KIB, 2);
        let purged = heap.purge();
        assert!(purged % 4096 == 0 && purged >= 44 * KIB, "{purged}: the whole OS pages in between");
        free(&heap, kept, 5 * KIB, 1);
        free(&heap, also_kept, 5 * KIB, 3);
        heap.assert_valid();
    }
    check::<Compact>();
    check::<Tiny>();
}

#[test]
fn idle_memory_is_decommitted_when_time_passes() {
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]));
    heap.source().advance_ms(1);
    let block = allocate(&heap, 300 * KIB, 1);
    free(&heap, block, 300 * KIB, 1);
    let committed = heap.source().bytes_committed();
    // Not at once: it was marked at the first millisecond, and half a second must pass.
    let use_a_little = |ms: usize| {
        heap.source().advance_ms(ms);
        // Blocks that wait for the next request look at the clock every now and then only. Under Miri these do not wait.
        (0..if cfg!(miri) { 1 } else { 16 }).for_each(|_| free(&heap, allocate(&heap, 40 * KIB, 2), 40 * KIB, 2));
        heap.source().refusals().granted(Call::Decommit)
    };
    for ms in [0, 1, 1, 100, 396] {
        assert_eq!(use_a_little(ms), 0, "decommitted too early");
    }
    assert!(use_a_little(2) > 0, "still there after half a second");
    // After a few seconds in which the heap is used a little all of it has gone.
    (0..10).for_each(|_| _ = use_a_little(1000));
    assert!(heap.source().bytes_committed() <= committed - 250 * KIB);
}

#[test]
fn memory_in_use_is_not_decommitted_by_time() {
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]));
    heap.source().advance_ms(1);
    free(&heap, allocate(&heap, 300 * KIB, 1), 300 * KIB, 1);
    for _ in 0..if cfg!(miri) { 5 } else { 1000 } {
        heap.source().advance_ms(8);
        free(&heap, allocate(&heap, 300 * KIB, 1), 300 * KIB, 1);
    }
    let decommits = heap.source().refusals().granted(Call::Decommit);
    assert!(decommits <= 1, "{decommits} decommits of memory that is used all the time");
}

#[test]
#[cfg_attr(miri, ignore = "too much memory")]
fn a_long_block_goes_back_when_it_is_freed_or_shrinks() {
    const LONG: usize = 32 * 1024 * KIB;
    let heap: OneCore<_, coreheap::Server> = heap(TestSource::<{ COMMITS | DECOMMITS | OS_PAGES }>::new(&[4 * LONG]));
    free(&heap, allocate(&heap, 10, 1), 10, 1);
    let committed = || heap.source().bytes_committed();
    let before = committed();
    free(&heap, allocate(&heap, LONG, 1), LONG, 1);
    assert_eq!(committed(), before, "all of it");
    let block = allocate(&heap, 3 * LONG, 2);
    // SAFETY: a block of this heap, of these sizes one after the other.
    unsafe {
        let shorter = heap.reallocate(block, layout(3 * LONG), LONG).expect("it shrinks");
        assert_eq!((shorter, committed()), (block, before + LONG), "its tail");
        let small = heap.reallocate(shorter, layout(LONG), KIB).expect("it shrinks");
        assert!(committed() < before + 1024 * KIB && holds(small, KIB, 2), "it moves");
        heap.deallocate(small, layout(KIB));
    }
    // What is shorter is kept for the next request.
    free(&heap, allocate(&heap, LONG / 2, 3), LONG / 2, 3);
    assert!(committed() >= before + LONG / 2);
    heap.assert_valid();
}

#[test]
fn only_what_was_idle_since_the_last_call_has_aged() {
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]));
    let (first, second) = (allocate(&heap, 96 * KIB, 1), allocate(&heap, 192 * KIB, 2));
    free(&heap, first, 96 * KIB, 1);
    assert_eq!(heap.purge_aged(), 0, "not idle before");
    free(&heap, second, 192 * KIB, 2);
    assert_eq!(heap.purge_aged(), 96 * KIB, "the first one has aged");
    assert_eq!(heap.purge_aged(), 192 * KIB, "the second one as well");
    assert_eq!(heap.purge_aged(), 0);
    // Use makes it young again.
    let block = allocate(&heap, 96 * KIB, 3);
    free(&heap, block, 96 * KIB, 3);
    heap.purge_aged();
    let block = allocate(&heap, 96 * KIB, 3);
    free(&heap, block, 96 * KIB, 3);
    assert_eq!(heap.purge_aged(), 0);
    assert_eq!(heap.purge_aged(), 96 * KIB);
}

#[test]
fn every_region_is_released() {
    let ledger = Ledger::new(4 * SIZE);
    // Under Miri, what fits into the smaller arenas there.
    const UNIT: usize = if cfg!(miri) { 64 } else { KIB };
    let source = TestSource::<{ RELEASES | GROWS }>::new(&[64 * UNIT, 1024 * UNIT, 1024 * UNIT]).giving_at_first(300 * UNIT);
    let heap: OneCore<_> = heap(Watched::new(source, &ledger));
    let live: Vec<_> = (0..4).map(|index| allocate(&heap, 350 * UNIT, index)).collect();
    assert!(ledger.regions_out() >= 2 && live.len() == 4);
    drop(heap);
    assert_eq!(ledger.regions_out(), 0, "with all blocks, freed or not");
    assert_eq!(ledger.refusals().calls(Call::Release), ledger.refusals().granted(Call::Reserve));
}

#[test]
fn a_region_grows_in_place() {
    fn check<const ABILITIES: u32, G: Geometry>() {
        let source = TestSource::<ABILITIES>::new(&[SIZE, SIZE]).giving_at_first(200 * KIB);
        let heap: OneCore<_, G> = heap(source);
        let blocks: Vec<_> = (0..9).map(|index| allocate(&heap, 80 * KIB, index)).collect();
        let source = heap.source();
        assert!(source.refusals().granted(Call::Grow) > 0);
        assert_eq!(source.regions_out(), 1, "the region had room to grow");
        assert_eq!(heap.stats().reserved, source.bytes_out());
        blocks.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, 80 * KIB, index));
        // Some wait for the next request.
        heap.purge_aged();
        let whole = heap.stats().largest_free_run;
        assert!(whole > 700 * KIB, "one run of {whole} bytes, across the seams");
        free(&heap, allocate(&heap, whole, 7), whole, 7);
        heap.assert_valid();
    }
    if ALL {
        check::<{ GROWS }, Hosted>();
        check::<{ GROWS | COMMITS | DECOMMITS | OS_PAGES }, Hosted>();
    }
    check::<{ GROWS | FRESH_IS_ZERO }, Compact>();
}

#[test]
fn fresh_zeroes_are_not_written_again() {
    fn seen_behind_the_heaps_back<const ABILITIES: u32>() -> bool {
        let heap: OneCore<_> = heap(TestSource::<ABILITIES>::new(&[SIZE]));
        free(&heap, allocate(&heap, 10, 0), 10, 0);
        let largest = heap.stats().largest_free_run / 2;
        let block = heap.allocate(layout(largest)).unwrap();
        // Slices that nobody used so far: the test scribbles on them, against all rules.
        let beyond = block.addr().get() + largest + 64 * KIB;
        // SAFETY: inside the region, in no block.
        unsafe { heap.source().pointer_at(beyond).write(0x11) };
        let rest = heap.stats().largest_free_run;
        let zeroed = heap.allocate_zeroed(layout(rest)).unwrap();
        // SAFETY: inside of the second block.
        let seen = unsafe { heap.source().pointer_at(beyond).read() } == 0x11;
        assert!((zeroed.addr().get()..zeroed.addr().get() + rest).contains(&beyond));
        // SAFETY: live blocks of these sizes.
        unsafe {
            heap.deallocate(zeroed, layout(rest));
            heap.deallocate(block, layout(largest));
        }
        seen
    }
    assert!(seen_behind_the_heaps_back::<{ FRESH_IS_ZERO }>(), "the zeroes were written again");
    assert!(!seen_behind_the_heaps_back::<0>(), "the test would not see it if they were");
}

#[test]
fn what_was_used_is_cleared_again() {
    let heap: OneCore<_> = heap(TestSource::<{ FRESH_IS_ZERO | DECOMMITS }>::new(&[SIZE]));
    for round in 0..4 {
        let block = heap.allocate_zeroed(layout(300 * KIB)).unwrap();
        // SAFETY: a live block of this size.
        unsafe {
            assert!(holds(block, 300 * KIB, 0), "round {round}");
            block.write_bytes(0xff, 300 * KIB);
            heap.deallocate(block, layout(300 * KIB));
        }
        if round % 2 == 0 {
            assert!(heap.purge() > 0, "comes back as garbage");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "pages of the geometry there are no bigger than OS pages")]
fn what_lies_between_live_blocks_is_discarded() {
    const BLOCK: usize = 512;
    let blocks_in_all = 2048;
    let source = TestSource::<{ DISCARDS | OS_PAGES }>::new(&[(3 * blocks_in_all * BLOCK).max(SIZE)]);
    let heap: OneCore<_> = heap(source);
    let block = || heap.allocate(layout(BLOCK)).expect("memory");
    let mut blocks: Vec<_> = (0..blocks_in_all).map(|_| block()).collect();
    blocks.sort();
    let (live, dead): (Vec<_>, Vec<_>) = blocks.into_iter().enumerate().partition(|(index, _)| index % 32 == 0);
    for (index, block) in &live {
        // SAFETY: live blocks of this size.
        unsafe { block.write_bytes(*index as u8 | 1, BLOCK) };
    }
    // SAFETY: live blocks of this layout.
    dead.iter().for_each(|(_, block)| unsafe { heap.deallocate(*block, layout(BLOCK)) });
    assert_eq!(heap.source().bytes_discarded(), 0, "not before it is asked for");
    heap.purge();
    heap.assert_valid();
    let discarded = heap.source().bytes_discarded();
    let between = blocks_in_all * BLOCK - live.len() * BLOCK;
    assert!(discarded > between / 2 && discarded < between, "{discarded} of {between} bytes");
    for (index, block) in &live {
        // SAFETY: live blocks of this size, written above.
        let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), BLOCK) };
        assert!(bytes.iter().all(|byte| *byte == *index as u8 | 1), "block {index} was discarded");
    }
    // What was discarded can be had again.
    let again: Vec<_> = dead.iter().map(|_| block()).collect();
    for block in again.into_iter().chain(live.into_iter().map(|(_, block)| block)) {
        // SAFETY: live blocks of this layout.
        unsafe { heap.deallocate(block, layout(BLOCK)) };
    }
    heap.purge();
    assert_eq!(heap.stats().used, 0);
    heap.assert_valid();
}
