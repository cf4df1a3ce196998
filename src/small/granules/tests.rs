//! What a source is asked for and what comes of its answers; which blocks are ready, and until when.

use std::vec::Vec;

use super::*;
use crate::source::page_source::tests::script::{self, DIRT, Script};

/// A heap that has one region, of so many bytes.
fn heap_of(size: usize) -> SmallHeap<Script> {
    SmallHeap::new(Script::new(&[size], 0, &[Some(0)]))
}

/// A heap whose source begins with region `first`, after it has been asked so many times.
fn heap_that_begins(sizes: &[usize], first: (usize, usize), answers: &[Option<usize>]) -> SmallHeap<Script> {
    let source = Script::new(sizes, 0, answers);
    source.first.set(Some(first));
    SmallHeap::new(source)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn free(heap: &SmallHeap<Script>, block: NonNull<u8>, size: usize) {
    // SAFETY: the tests' own blocks.
    unsafe { heap.deallocate(block, layout(size, 8)) };
}

/// How many blocks are ready.
fn ready(heap: &SmallHeap<Script>) -> usize {
    heap.assert_valid();
    heap.engine.ready.blocks().count()
}

/// Allocates granules until there is none; how many there were.
fn fill(heap: &SmallHeap<Script>) -> Vec<NonNull<u8>> {
    core::iter::from_fn(|| heap.allocate(layout(GRANULE, 8))).collect()
}

/// Allocates all that is free, a run at a time.
fn use_up(heap: &SmallHeap<Script>) -> Vec<NonNull<u8>> {
    core::iter::from_fn(|| heap.allocate(layout(heap.stats().largest_free_run.max(GRANULE), 8))).collect()
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn blocks_of_up_to_a_128th_of_the_memory_are_ready() {
    for kib in [1, 4, 16, 64] {
        let heap = heap_of(kib * 1024);
        free(&heap, heap.allocate(layout(8, 8)).expect("room"), 8);
        let most = (heap.stats().capacity / 128).min(256);
        for size in [1, most - 1, most, most + 1, 257] {
            let block = heap.allocate(layout(size, 8)).expect("room");
            free(&heap, block, size);
            let is_ready = (1..=most).contains(&size);
            assert_eq!(ready(&heap), usize::from(is_ready), "{size} bytes of {kib} KiB");
            // It goes home.
            heap.stats();
        }
    }
}

#[test]
fn more_memory_lets_bigger_blocks_be_ready() {
    let heap = SmallHeap::new(Script::new(&[4096, 32 * 1024], 0, &[Some(0), Some(1)]));
    let small = heap.allocate(layout(200, 8)).expect("room");
    let (ready_before, big) = (ready(&heap), heap.allocate(layout(16 * 1024, 8)).expect("room in the second"));
    free(&heap, small, 200);
    assert_eq!((ready_before, ready(&heap)), (0, 1));
    free(&heap, big, 16 * 1024);
}

#[test]
fn blocks_that_are_ready_are_allocated_next_if_nothing_is_asked_of_their_address() {
    let heap = heap_of(16 * 1024);
    let mut blocks = [(); 5].map(|()| heap.allocate(layout(40, 8)).expect("room"));
    let odd = usize::from(blocks[0].addr().get().is_multiple_of(16));
    free(&heap, blocks[odd], 40);
    free(&heap, blocks[odd + 2], 40);
    assert_eq!(ready(&heap), 2);
    let aligned = heap.allocate(layout(40, 16)).expect("room");
    assert!(aligned.addr().get().is_multiple_of(16) && ready(&heap) == 2);
    let mut again = [8, 1].map(|align| heap.allocate(layout(40, align)).expect("room"));
    again.sort();
    blocks.sort();
    assert_eq!((again, ready(&heap)), ([blocks[odd], blocks[odd + 2]], 0));
}

/// When memory is short, all of it is joined, and no block is ready before 32 more were freed.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn no_block_is_ready_while_memory_is_short() {
    let heap = heap_of(4096);
    let mut blocks: Vec<_> = (0..120).map(|_| heap.allocate(layout(1, 1)).expect("room")).collect();
    let mut free_one = || free(&heap, blocks.pop().expect("enough of them"), 1);
    let too_much = |heap: &SmallHeap<Script>| assert_eq!(heap.allocate(layout(4096, 8)), None);
    free_one();
    free_one();
    assert_eq!(ready(&heap), 2);
    too_much(&heap);
    assert_eq!((ready(&heap), heap.stats().used), (0, 118 * GRANULE));
    // A second shortage begins in the middle of the first.
    for _ in 0..10 {
        free_one();
        assert_eq!(ready(&heap), 0);
    }
    too_much(&heap);
    for freed in 1..=32 {
        free_one();
        assert_eq!(ready(&heap), 0, "the {freed}th");
    }
    free_one();
    free_one();
    assert_eq!(ready(&heap), 2, "the shortage is over");
    free_one();
    assert_eq!((ready(&heap), heap.engine.shortage.load(Ordering::Relaxed)), (2, 0), "it stays over");
    let big = heap.allocate(layout(500, 8)).expect("room");
    let limit = heap.stats().capacity / 128;
    free(&heap, big, 500);
    let [fits, does_not] = [limit, limit + 1].map(|size| (heap.allocate(layout(size, 8)).expect("room"), size));
    free(&heap, does_not.0, does_not.1);
    assert_eq!(ready(&heap), 0);
    free(&heap, fits.0, fits.1);
    assert_eq!(ready(&heap), 1, "as before the shortage");
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn what_is_ready_is_joined_before_the_source_is_asked() {
    let heap = heap_of(4096);
    let blocks = fill(&heap);
    let asked = heap.source().asked();
    // Not short any more.
    blocks[..33].iter().for_each(|block| free(&heap, *block, GRANULE));
    free(&heap, blocks[33], GRANULE);
    assert_eq!(ready(&heap), 2);
    assert!(heap.allocate(layout(34 * GRANULE, 8)).is_some());
    assert_eq!((ready(&heap), heap.source().asked()), (0, asked));
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_heap_knows_its_memory_by_address() {
    let heap = heap_of(4096);
    let region = heap.source().regions[0];
    let start = region.start.as_ptr().cast_const();
    assert!(!heap.contains(start.wrapping_add(2048)), "it has none yet");
    let blocks = fill(&heap);
    let first = blocks.iter().min().expect("some").as_ptr().cast_const();
    let end = first.wrapping_add(blocks.len() * GRANULE);
    let inside = |at: *const u8| heap.contains(at);
    assert_eq!(
        [first.wrapping_sub(1), first, first.wrapping_add(3), end.wrapping_sub(1), end].map(inside),
        [false, true, true, true, false]
    );
    assert_eq!([start.wrapping_sub(1), start.wrapping_add(4096)].map(inside), [false; 2]);
    let [used, all] = [(first, end), (start, start.wrapping_add(4096))].map(|(from, to)| heap.used_between(from, to));
    assert_eq!((used, all), (end.addr() - first.addr(), 4096));
    blocks[1..4].iter().for_each(|block| free(&heap, *block, GRANULE));
    let [used, all] = [(first, end), (start, start.wrapping_add(4096))].map(|(from, to)| heap.used_between(from, to));
    assert_eq!((used, all), (end.addr() - first.addr() - 3 * GRANULE, 4096 - 3 * GRANULE), "no block was ready");
    let gap = first.wrapping_add(GRANULE);
    assert_eq!(heap.used_between(gap, gap.wrapping_add(3 * GRANULE)), 0);
    assert_eq!(heap.used_between(gap.wrapping_sub(4), gap.wrapping_add(GRANULE)), 4);
    assert_eq!([heap.used_between(end, first), heap.used_between(start, start)], [0; 2]);
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_report_counts_all_regions() {
    for sizes in [[4096, 8192], [8192, 4096]] {
        let heap = SmallHeap::new(Script::new(&sizes, 0, &[Some(0), Some(1)]));
        assert_eq!(heap.stats(), SmallStats::default());
        let blocks = fill(&heap);
        let capacity = heap.stats().capacity;
        assert_eq!(capacity, blocks.len() * GRANULE);
        assert!(capacity > 12_288 / 10 * 9 && capacity < 12_288);
        assert_eq!((heap.stats().used, heap.stats().largest_free_run), (capacity, 0));
        free(&heap, blocks[0], GRANULE);
        assert_eq!((heap.stats().used, heap.stats().largest_free_run), (capacity - GRANULE, GRANULE));
        blocks[1..].iter().for_each(|block| free(&heap, *block, GRANULE));
        let stats = heap.stats();
        assert_eq!((stats.used, stats.capacity, stats.misuses, ready(&heap)), (0, capacity, 0, 0), "what was ready, too");
        assert!(stats.largest_free_run > 8192 / 10 * 9 && stats.largest_free_run < 8192);
        assert_eq!(heap.allocate(layout(stats.largest_free_run + 1, 8)), None);
        assert!(heap.allocate(layout(stats.largest_free_run, 8)).is_some(), "{sizes:?}");
    }
}

#[test]
fn a_region_is_asked_for_in_which_the_block_surely_fits_and_else_one_in_which_it_may() {
    for (size, align) in [(1, 1), (100, 8), (1000, 64), (3000, 512)] {
        let heap = SmallHeap::new(Script::new(&[], 0, &[]));
        assert_eq!(heap.allocate(layout(size, align)), None);
        let requests = heap.source().requests.take();
        assert!(requests.iter().all(|request| request.preferred_size == request.min_size && request.preferred_align == 8));
        let [surely, perhaps] = requests[..] else { panic!("{requests:?}") };
        assert!(perhaps.min_size < surely.min_size && perhaps.min_size > size);
        for skew in 0..if cfg!(miri) { 2 } else { 16 } {
            let heap = SmallHeap::new(Script::new(&[surely.min_size], skew, &[Some(0)]));
            assert!(heap.allocate(layout(size, align)).is_some(), "{size} at {align}, {skew}");
            assert_eq!(heap.source().asked(), 1);
        }
        let heap = SmallHeap::new(Script::new(&[perhaps.min_size], 0, &[None, Some(0)]));
        assert_eq!(heap.allocate(layout(size, align)).is_some(), align <= 8, "{size} at {align}");
    }
}

#[test]
fn what_is_a_rare_find_is_not_asked_for_nor_what_is_too_long() {
    let asked = |size, align| {
        let heap = SmallHeap::new(Script::new(&[], 0, &[]));
        assert_eq!(heap.allocate(layout(size, align)), None);
        let sizes: Vec<_> = heap.source().requests.take().iter().map(|request| request.min_size).collect();
        assert!(sizes.iter().all(|min_size| (size + 1..=isize::MAX as usize).contains(min_size)));
        sizes
    };
    for (align, is_rare) in [(2048, false), (4096, false), (8192, true)] {
        let sizes = asked(100, align);
        assert_eq!(sizes.iter().all(|size| *size >= 100 + align), is_rare, "at {align}: {sizes:?}");
        assert_eq!(sizes.len(), if is_rare { 1 } else { 2 }, "at {align}: {sizes:?}");
    }
    let longest = isize::MAX as usize - 7;
    assert_eq!([longest / 10 * 9, longest / 1000 * 974, longest].map(|size| asked(size, 8).len()), [2, 1, 0]);
    assert_eq!(asked(longest / 1000 * 974, 8192), []);
}

#[test]
fn a_heap_grows_by_a_quarter() {
    let heap = heap_of(16 * 1024);
    let block = heap.allocate(layout(10_000, 8)).expect("room");
    let quarter = heap.stats().capacity / 4;
    heap.source().requests.take();
    assert_eq!(heap.allocate(layout(7500, 8)), None);
    let big = heap.source().requests.take();
    assert!(big.len() == 2 && big.iter().all(|request| request.preferred_size == request.min_size && request.min_size > 7500));
    let rest = heap.stats().largest_free_run;
    heap.allocate(layout(rest, 8)).expect("the rest");
    assert_eq!(heap.allocate(layout(8, 8)), None);
    let small = heap.source().requests.take();
    let is_quarter = |request: &RegionRequest| (quarter - GRANULE..=quarter).contains(&request.preferred_size);
    assert!(small.len() == 2 && small.iter().all(|request| is_quarter(request) && request.min_size < 1000), "{small:?}");
    free(&heap, block, 10_000);
}

/// A source that lies well only by chance gave a region that is too short.
#[test]
fn a_region_without_room_for_a_granule_is_of_no_use() {
    let least = Chunk::least_region_for(1);
    let heap = SmallHeap::new(Script::new(&[least, 4096], 1, &[None, Some(0), Some(1)]));
    assert_eq!(heap.allocate(layout(8, 8)), None);
    assert_eq!((heap.engine.chunks().count(), heap.source().asked()), (0, 2));
    assert!(heap.allocate(layout(8, 8)).is_some());
    let heap = heap_that_begins(&[least, 4096], (0, 0), &[Some(1)]);
    assert!(heap.allocate(layout(8, 8)).is_some(), "the first region is too short");
    assert_eq!((heap.engine.chunks().count(), heap.source().asked()), (1, 1));
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn the_first_region_is_asked_for_first() {
    let heap = heap_that_begins(&[4096, 8192], (0, 0), &[Some(0), Some(1)]);
    let blocks = fill(&heap);
    let asked = heap.source().asked();
    // `reserve` hands out the first region as well: it is the heap's already. Then the second one. Then it refuses both requests.
    assert_eq!((heap.engine.chunks().count(), asked), (2, 4));
    assert!(blocks.len() * GRANULE > 12_288 / 10 * 9 && blocks.len() * GRANULE < 12_288);
    blocks[..34].iter().for_each(|block| free(&heap, *block, GRANULE));
    assert_eq!(ready(&heap), 2, "after the shortage");
}

#[test]
fn a_heap_that_has_a_region_asks_for_no_first_one() {
    let heap = SmallHeap::new(Script::new(&[4096, 4096, 4096], 0, &[Some(0), Some(1)]));
    assert!(heap.allocate(layout(8, 8)).is_some());
    heap.source().first.set(Some((9, 2)));
    use_up(&heap);
    assert_eq!((heap.engine.chunks().count(), heap.source().first.get()), (2, Some((9, 2))));
}

#[test]
fn blocks_are_ready_in_a_first_region() {
    let heap = heap_that_begins(&[4096], (0, 0), &[]);
    free(&heap, heap.allocate(layout(8, 8)).expect("room"), 8);
    assert_eq!(ready(&heap), 1);
}

#[test]
fn a_first_region_that_comes_late_is_the_heaps_once() {
    // It comes while the heap asks for another one, which is the same.
    let heap = heap_that_begins(&[4096], (1, 0), &[Some(0)]);
    assert!(heap.allocate(layout(8, 8)).is_some());
    assert_eq!((heap.engine.chunks().count(), heap.source().asked()), (1, 1));
    assert!(heap.stats().capacity < 4096);
    // Or which is another one.
    let heap = heap_that_begins(&[4096, 8192], (1, 0), &[Some(1)]);
    assert!(heap.allocate(layout(8, 8)).is_some());
    assert_eq!((heap.engine.chunks().count(), heap.source().asked()), (2, 1));
    let capacity = heap.stats().capacity;
    assert!(capacity > 12_288 / 10 * 9 && capacity < 12_288);
    assert_eq!(ready(&heap), 0);
    let block = heap.allocate(layout(capacity / 128, 8)).expect("room");
    free(&heap, block, capacity / 128);
    assert_eq!(ready(&heap), 1, "of all the memory");
}

#[test]
fn memory_that_came_meanwhile_is_looked_at() {
    script::memory_that_came_meanwhile_is_looked_at(SmallHeap::new, SmallHeap::source, SmallHeap::allocate, |heap, fits| {
        assert_eq!((heap.engine.chunks().count(), heap.source().asked()), (1, if fits { 3 } else { 5 }));
    });
}

/// Contexts that were interrupted while they made the first chunk go on later, in areas of their own.
#[test]
fn attempts_that_were_interrupted_keep_their_areas() {
    let heap = heap_that_begins(&[8192], (0, 0), &[]);
    let first = FirstChunk::of(&heap.source).expect("it begins with one");
    assert_eq!([heap.engine.newest.begin(9), heap.engine.newest.begin(9)], [Some(0), Some(1)]);
    let blocks = use_up(&heap);
    let behind = first.area(2).start;
    assert!(blocks.iter().all(|block| *block > behind) && heap.engine.chunks().count() == 1);
    let size = behind.addr().get() - first.region.start.addr().get();
    // SAFETY: in the region, where nobody writes.
    let untouched = unsafe { core::slice::from_raw_parts(first.region.start.as_ptr(), size) };
    assert!(untouched.iter().all(|byte| *byte == DIRT));
    heap.assert_valid();
}

#[test]
fn who_comes_after_too_many_attempts_is_refused() {
    let heap = heap_that_begins(&[8192], (0, 0), &[]);
    let most = FirstChunk::of(&heap.source).expect("it begins with one").most_attempts();
    (0..most - 1).for_each(|attempt| assert_eq!(heap.engine.newest.begin(most), Some(attempt)));
    let last = heap_that_begins(&[8192], (0, 0), &[]);
    (0..most).for_each(|attempt| assert_eq!(last.engine.newest.begin(most), Some(attempt)));
    assert!(heap.allocate(layout(8, 8)).is_some());
    assert_eq!((last.allocate(layout(8, 8)), last.source().asked()), (None, 0));
}

#[test]
fn a_block_grows_and_shrinks_where_it_lies_by_granules() {
    let heap = heap_of(4096);
    let before = heap.allocate(layout(72, 8)).expect("room");
    let block = heap.allocate(layout(40, 8)).expect("room");
    let behind = heap.allocate(layout(8, 8)).expect("room");
    // SAFETY: blocks of this heap.
    let resized = |old: usize, new: Layout| unsafe { heap.resize(block, layout(old, 8), new) };
    let used = || {
        let chunks = heap.engine.chunks();
        chunks.map(|chunk| chunk.count() - chunk.free().count()).sum::<usize>() * GRANULE - 72
    };
    assert_eq!((resized(40, layout(33, 8)), used()), (Some(true), 48), "as many granules");
    assert_eq!((resized(33, layout(41, 8)), used()), (Some(false), 48), "there is a block behind it");
    assert_eq!((resized(33, layout(32, 8)), used()), (Some(true), 40));
    assert_eq!((resized(32, layout(40, 8)), used()), (Some(true), 48));
    let align = 2 << block.addr().trailing_zeros();
    assert_eq!((resized(40, layout(8, align)), used()), (Some(false), 48), "it is not aligned to that");
    assert_eq!((resized(40, layout(8, align / 2)), used()), (Some(true), 16));
    assert_eq!((resized(8, layout(0, 8)), used()), (Some(true), 16), "size 0 is served like 1");
    free(&heap, behind, 8);
    assert_eq!((used(), heap.stats().used - 72), (16, 8), "what was ready is home");
    assert_eq!((resized(0, layout(2000, 8)), used()), (Some(true), 2000));
    free(&heap, block, 2000);
    assert_eq!(used(), 0);
    free(&heap, before, 72);
}

#[test]
fn a_block_that_moves_because_of_its_alignment_keeps_what_it_has_room_for() {
    let heap = heap_of(16 * 1024);
    let block = heap.allocate(layout(500, 8)).expect("room");
    let align = 2 << block.addr().trailing_zeros();
    let guard = heap.allocate_zeroed(layout(4000, 8)).expect("room");
    // SAFETY: blocks of this heap.
    unsafe {
        block.write_bytes(7, 500);
        let rest = heap.allocate_zeroed(layout(heap.stats().largest_free_run, 8)).expect("the rest");
        free(&heap, guard, 4000);
        let moved = heap.change_layout(block, layout(500, 8), layout(24, align)).expect("room");
        assert!(moved.addr().get().is_multiple_of(align) && moved > block && moved < rest);
        assert_eq!(moved.cast::<[u8; 24]>().read(), [7; 24]);
        // The rest of where it is now is as it was.
        assert_eq!(moved.add(24).cast::<[u8; 476]>().read(), [0; 476]);
    }
    heap.assert_valid();
}

#[test]
fn a_mistake_with_a_block_that_was_ready_is_told_of_that_block() {
    let heap = heap_of(8192);
    // So that blocks may be ready.
    free(&heap, heap.allocate(layout(8, 8)).expect("room"), 8);
    heap.stats();
    let [first, last, short, behind] = [16, 16, 8, 600].map(|size| heap.allocate(layout(size, 8)).expect("room"));
    assert_eq!(short.addr().get() + 8, behind.addr().get());
    free(&heap, first, 16);
    // A mistake that nobody can see yet: what is behind it is used.
    free(&heap, short, 16);
    free(&heap, behind, 600);
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| free(&heap, last, 16)));
    let text = seen.err().and_then(|panic| panic.downcast_ref::<std::string::String>().cloned());
    assert_eq!(text.is_some(), cfg!(debug_assertions));
    assert!(text.is_none_or(|text| text.ends_with(&std::format!("{:#x}", short.addr()))), "not of the block that is freed");
    assert_eq!(heap.misuses.count(), 1);
}
