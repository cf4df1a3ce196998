//! What a source is asked for, what comes of its answers, and what is looked at before it is asked.

use core::cell::Cell;
use core::ops::Range;
use core::ptr::{self, NonNull};
use std::vec::Vec;

use super::super::*;
use crate::small::exclusion::Unshared;
use crate::source::page_source::tests::script::{self, Script};
use crate::source::sources::FixedRegion;

type Heap = HeaderlessHeap<Script, Unshared>;

fn heap(source: Script) -> Heap {
    // SAFETY: the test's own context.
    HeaderlessHeap::new(source, unsafe { Unshared::new() })
}

/// A heap that has one region, of so many bytes.
fn heap_of(size: usize) -> Heap {
    heap(Script::new(&[size], 0, &[Some(0)]))
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn free(heap: &Heap, block: NonNull<u8>, size: usize) {
    // SAFETY: the tests' own blocks.
    unsafe { heap.deallocate(block, layout(size, 8)) };
}

/// Allocates blocks of this size until there is no room; how many there were.
fn fill(heap: &Heap, size: usize) -> Vec<NonNull<u8>> {
    core::iter::from_fn(|| heap.allocate(layout(size, 8))).collect()
}

/// How many blocks are ready.
fn ready(heap: &Heap) -> usize {
    heap.assert_valid();
    heap.alone(|heap| (0..ready::LISTS).map(|list| core::iter::from_fn(|| heap.take_ready((list + 1) * GRANULE)).count()).sum())
}

#[test]
fn a_region_is_asked_for_in_which_the_block_surely_fits_and_else_one_in_which_it_may() {
    for (size, align) in [(1, 1), (100, 8), (1000, 64), (3000, 1), (3000, 512), (60_000, 8)] {
        let nothing = heap(Script::new(&[], 0, &[]));
        assert_eq!(nothing.allocate(layout(size, align)), None);
        let requests = nothing.source().requests.take();
        assert!(requests.iter().all(|request| request.preferred_size == request.min_size && request.preferred_align == GRANULE));
        let [surely, perhaps] = requests[..] else { panic!("{requests:?}") };
        assert!(perhaps.min_size < surely.min_size && perhaps.min_size > size);
        for skew in 0..if cfg!(miri) { 2 } else { 32 } {
            let heap = heap(Script::new(&[surely.min_size], skew, &[Some(0)]));
            assert!(heap.allocate(layout(size, align)).is_some(), "{size} at {align}, {skew}");
            assert_eq!(heap.source().asked(), 1);
        }
    }
}

#[test]
fn what_is_a_rare_find_is_not_asked_for_nor_what_is_too_long() {
    let asked = |size, align| {
        let heap = heap(Script::new(&[], 0, &[]));
        assert_eq!(heap.allocate(layout(size, align)), None);
        heap.source().asked()
    };
    assert_eq!([asked(100, 2048), asked(100, 4096), asked(100, 8192)], [2, 2, 1]);
    let longest = (usize::MAX >> 8) * GRANULE;
    assert_eq!([asked(longest, 8), asked(longest + 1, 8), asked(isize::MAX as usize - 7, 8)], [2, 0, 0]);
}

#[test]
fn a_heap_grows_by_a_quarter() {
    let heap = heap_of(16 * 1024);
    heap.allocate(layout(10_000, 8)).expect("room");
    let quarter = heap.stats().capacity / 4;
    heap.source().requests.take();
    assert_eq!(heap.allocate(layout(7500, 8)), None);
    let big = heap.source().requests.take();
    assert!(big.len() == 2 && big.iter().all(|request| request.preferred_size == request.min_size && request.min_size > 7500));
    heap.allocate(layout(heap.stats().largest_free_run, 8)).expect("the rest");
    assert_eq!(heap.allocate(layout(8, 8)), None);
    let small = heap.source().requests.take();
    assert!(
        small.len() == 2 && small.iter().all(|request| request.preferred_size == quarter && request.min_size < 1000),
        "{small:?}"
    );
}

#[test]
fn a_region_that_lies_badly_is_of_no_use_and_more_is_asked_for() {
    let probe = heap(Script::new(&[], 0, &[]));
    assert_eq!(probe.allocate(layout(1, 1)), None);
    let perhaps = probe.source().requests.borrow()[1].min_size;
    let heap = heap(Script::new(&[perhaps, 4096], 1, &[None, Some(0), None, Some(1)]));
    let block = heap.allocate(layout(1, 1)).expect("room in the second");
    assert!(heap.source().asked() == 4 && heap.source().regions[1].holds(block.addr().get()));
}

#[test]
fn memory_that_came_meanwhile_is_looked_at() {
    script::memory_that_came_meanwhile_is_looked_at(heap, Heap::source, Heap::allocate, |heap, fits| {
        // It does not ask for less where it has got something.
        assert_eq!(heap.source().asked(), if fits { 2 } else { 4 });
    });
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn what_is_ready_is_joined_before_the_source_is_asked() {
    let heap = heap_of(8192);
    let sizes = [1, GRANULE, 2 * GRANULE, 3 * GRANULE, 31 * GRANULE + 1, 32 * GRANULE];
    let ready_ones = |heap: &Heap| {
        let blocks = sizes.map(|size| [(); 3].map(|()| heap.allocate(layout(size, 8)).expect("room")));
        blocks.iter().zip(sizes).for_each(|(blocks, size)| blocks.iter().for_each(|block| free(heap, *block, size)));
    };
    ready_ones(&heap);
    let capacity = heap.alone(|heap| heap.capacity_and_free().0);
    let all = heap.allocate(layout(capacity, 8)).expect("all of it");
    assert_eq!((heap.source().asked(), heap.stats().largest_free_run), (1, 0));
    free(&heap, all, capacity);
    ready_ones(&heap);
    let stats = heap.stats();
    assert_eq!((stats.used, stats.largest_free_run, stats.capacity), (0, capacity, capacity), "a report sends them home, too");
    ready_ones(&heap);
    let mut list = 0;
    let steps = core::iter::from_fn(|| heap.alone(|heap| heap.flush(&mut list)).then_some(())).count();
    assert_eq!((steps, ready(&heap)), (4, 0), "a list in each step");
    ready_ones(&heap);
    assert_eq!(ready(&heap), 12, "three of each length: the first two have one, as have the last two");
}

#[test]
fn blocks_are_ready_while_half_of_the_memory_is_free_to_the_granule() {
    // A capacity of an even number of granules.
    let size = (2000..).step_by(WORD).find(|size| {
        let heap = heap_of(*size);
        heap.allocate(layout(1, 1)).expect("room");
        heap.alone(|heap| heap.capacity_and_free().0).is_multiple_of(2 * GRANULE)
    });
    for (more, is_ready) in [(0, true), (GRANULE, false)] {
        let heap = heap_of(size.expect("there is one"));
        let small = heap.allocate(layout(1, 1)).expect("room");
        let (capacity, unused) = heap.alone(|heap| heap.capacity_and_free());
        heap.allocate(layout(unused - capacity / 2 + more, 8)).expect("room");
        assert_eq!(heap.alone(|heap| heap.capacity_and_free().1), capacity / 2 - more);
        free(&heap, small, 1);
        assert_eq!(ready(&heap), usize::from(is_ready));
    }
}

#[test]
fn blocks_that_are_ready_are_allocated_next_if_nothing_is_asked_of_their_address() {
    let heap = heap_of(8192);
    let blocks = [(); 5].map(|()| heap.allocate(layout(3 * GRANULE, 8)).expect("room"));
    let is_odd = |block: &&NonNull<u8>| !block.addr().get().is_multiple_of(2 * GRANULE);
    let odd = *blocks.iter().find(is_odd).expect("every second one");
    free(&heap, odd, 3 * GRANULE);
    assert_ne!(heap.allocate(layout(3 * GRANULE, 2 * GRANULE)), Some(odd), "it is not aligned to that");
    assert_eq!(heap.allocate(layout(3 * GRANULE, GRANULE)), Some(odd));
}

/// Blocks that lie badly for [`ALIGN`], apart from each other and from those at `others`.
fn badly(blocks: &[NonNull<u8>], others: Range<usize>) -> Vec<NonNull<u8>> {
    let apart = |index: &usize| *index + 1 < others.start || *index > others.end;
    let some = (0..blocks.len()).step_by(2).filter(apart).map(|index| blocks[index]);
    let badly: Vec<_> = some.filter(|block| (1..7).contains(&place(block))).collect();
    assert!(badly.len() > 40);
    badly
}

const LONG: usize = 3 * GRANULE;
const ALIGN: usize = 8 * GRANULE;

fn place(block: &NonNull<u8>) -> usize {
    block.addr().get() % ALIGN / GRANULE
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_run_that_surely_fits_is_found_behind_many_that_may() {
    let heap = heap_of(16 * 1024);
    let blocks = fill(&heap, LONG);
    fill(&heap, 1);
    let badly = badly(&blocks, 100..103);
    blocks[100..103].iter().chain(&badly).for_each(|block| free(&heap, *block, LONG));
    let found = heap.alone(|heap| heap.allocate(layout(LEAST, ALIGN))).map(NonZeroUsize::get);
    assert_eq!(found, Some(blocks[100].addr().get().next_multiple_of(ALIGN)));
}

/// Where runs must lie well, all are looked at.
#[test]
#[cfg_attr(miri, ignore = "long; `who_did_not_look_at_all_runs_is_not_sure` shows a part")]
fn a_run_that_was_missed_is_found_before_the_source_is_asked() {
    for (from_end, regions) in [(0, 1), (0, 2), (150, 1), (150, 2), (3, 2)] {
        let heap = heap(Script::new(&[16 * 1024, 16 * 1024], 0, &[Some(0), Some(1)][..regions]));
        let mut blocks = fill(&heap, LONG);
        fill(&heap, 1);
        // In the oldest region.
        blocks.retain(|block| heap.source().regions[0].holds(block.addr().get()));
        // It has just the room.
        let well = blocks.len()
            - 1
            - from_end
            - blocks.iter().rev().skip(from_end).position(|block| place(block) == 7).expect("some do");
        free(&heap, blocks[well], LONG);
        badly(&blocks, well..well + 1).into_iter().for_each(|block| free(&heap, block, LONG));
        let (asked, used) = (heap.source().asked(), heap.stats().used);
        let found = heap.allocate(layout(LEAST, ALIGN)).expect("the one that lies well");
        assert_eq!(found.addr().get(), blocks[well].addr().get() + GRANULE);
        assert_eq!((heap.source().asked(), heap.stats().used), (asked, used + LEAST), "{from_end} from the end of {regions}");
        heap.assert_valid();
        assert_eq!(heap.allocate(layout(LEAST, ALIGN)), None);
    }
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn one_card_is_looked_at_in_each_step() {
    let heap = heap(Script::new(&[6000, 16 * 1024], 0, &[Some(0), Some(1)]));
    fill(&heap, LONG);
    let cards = heap.alone(|heap| {
        let words = heap.words;
        heap.chunks().map(|chunk| (chunk.end(words) - chunk.first_card(words)).div_ceil(chunk::CARD)).sum::<usize>()
    });
    let (mut cursor, mut steps) = (None, 0);
    while steps == 0 || cursor.is_some() {
        heap.alone(|heap| heap.longest_from(&mut cursor));
        steps += 1;
    }
    assert_eq!(steps, cards);
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_report_looks_at_all_regions() {
    for sizes in [[4096, 8192], [8192, 4096]] {
        let heap = heap(Script::new(&sizes, 0, &[Some(0), Some(1)]));
        assert_eq!(heap.stats(), SmallStats::default());
        let blocks = fill(&heap, LEAST);
        fill(&heap, 1);
        let stats = heap.stats();
        assert!(stats.capacity > 12_000 && stats.capacity < 12_288 && stats.capacity - stats.used < 3 * GRANULE, "{stats:?}");
        let inside = |at: *const u8| heap.contains(at);
        for region in &heap.source().regions {
            let mine = blocks.iter().filter(|block| region.holds(block.addr().get()));
            let (first, last) = (mine.clone().min().expect("some"), mine.max().expect("some"));
            let (first, last) = (first.as_ptr().cast_const(), last.as_ptr().cast_const().wrapping_add(LEAST - 1));
            assert_eq!(
                [first.wrapping_sub(1), first, last, last.wrapping_add(GRANULE + 1)].map(inside),
                [false, true, true, false]
            );
        }
        // The longest run, wherever it is.
        for index in [0, blocks.len() / 4, blocks.len() / 2, blocks.len() - 2] {
            let two = [blocks[index], blocks[index + 1]];
            two.iter().for_each(|block| free(&heap, *block, LEAST));
            free(&heap, blocks[(index + 9) % blocks.len()], LEAST);
            let stats = heap.stats();
            assert!(
                stats.largest_free_run >= 2 * LEAST && stats.largest_free_run < 2 * LEAST + 2 * GRANULE,
                "{index}: {stats:?}"
            );
            assert!((stats.capacity - stats.used) - 3 * LEAST < 3 * GRANULE, "{stats:?}");
            heap.allocate(layout(stats.largest_free_run, 8)).expect("it is free");
            heap.allocate(layout(LEAST, 8)).expect("it is free");
        }
    }
}

/// Up to 64 KiB a block moves to where it fits; a longer one stays where it is if it can.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn small_blocks_move_and_big_ones_stay() {
    const KIB: usize = 1024;
    for (old, new, moves) in [
        (64 * KIB, 64 * KIB - GRANULE, true),
        (64 * KIB - GRANULE, 64 * KIB, true),
        (64 * KIB + 1, 64 * KIB, false),
        (64 * KIB, 64 * KIB + 1, false),
        (80 * KIB, 90 * KIB, false),
        (64 * KIB - GRANULE + 1, 64 * KIB, false),
        (80 * KIB - 1, 80 * KIB, false),
    ] {
        let heap = heap_of(400 * KIB);
        let block = heap.allocate(layout(old, 8)).expect("room");
        // SAFETY: the block's bytes.
        unsafe { block.write_bytes(7, old) };
        // SAFETY: a block of this heap.
        let moved = unsafe { heap.reallocate(block, layout(old, 8), new) }.expect("room");
        assert_eq!(moved != block, moves, "{old} to {new}");
        // SAFETY: the block's bytes.
        assert!(unsafe { core::slice::from_raw_parts(moved.as_ptr(), old.min(new)) }.iter().all(|byte| *byte == 7));
        let used = heap.stats().used;
        assert_eq!(used, new.next_multiple_of(GRANULE), "{old} to {new}");
        heap.assert_valid();
    }
}

#[test]
fn a_layout_is_changed_in_place_only_where_it_is_aligned() {
    let heap = heap_of(4096);
    let block = heap.allocate(layout(100, 8)).expect("room");
    let align = 1 << block.addr().trailing_zeros();
    // SAFETY: a block of this heap.
    let change = |block, old: Layout, new: Layout| unsafe { heap.change_layout(block, old, new) }.expect("room");
    assert_eq!(change(block, layout(100, 8), layout(99, 1)), block, "as many granules");
    assert_eq!(change(block, layout(99, 1), layout(99, align)), block, "it is aligned to that");
    let moved = change(block, layout(99, align), layout(99, 2 * align));
    assert!(moved != block && moved.addr().get().is_multiple_of(2 * align));
    // The first one is ready now: it is taken for its size.
    let other = heap.allocate(layout(300, 8)).expect("room");
    assert_eq!(change(other, layout(300, 8), layout(100, 8)), block);
    heap.stats();
    // No room elsewhere, and not aligned: it stays as it is.
    let rest = heap.stats().largest_free_run;
    heap.allocate(layout(rest, 8)).expect("the rest");
    fill(&heap, 1);
    let more = 2 << moved.addr().trailing_zeros();
    // SAFETY: a block of this heap.
    assert_eq!(unsafe { heap.change_layout(moved, layout(99, 2 * align), layout(50, more)) }, None);
    assert_eq!(change(moved, layout(99, 2 * align), layout(50, 2 * align)), moved);
    heap.assert_valid();
}

/// Another context, which takes a block before the step of which none is left.
struct Visited {
    steps: Cell<usize>,
    heap: Cell<*const HeaderlessHeap<FixedRegion, Visited>>,
}

// SAFETY: one thread has it, and the other context comes in before the work begins.
unsafe impl Exclusion for Visited {
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        // SAFETY: null, or the heap that this is in.
        if let Some(heap) = unsafe { self.heap.get().as_ref() } {
            match self.steps.get() {
                0 => {
                    self.heap.set(ptr::null());
                    heap.allocate(layout(40 * GRANULE, 8)).expect("one of many");
                }
                steps => self.steps.set(steps - 1),
            }
        }
        work()
    }
}

/// Of sixteen runs that are too short, which hide one that is long enough, another context takes one in the middle of the search.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_run_that_was_missed_is_found_whenever_others_come_in() {
    for steps in 0..6 {
        let mut memory = std::vec![0_u64; 8000];
        // SAFETY: memory of the test's own.
        let source = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), 64_000) };
        let heap = HeaderlessHeap::new(source, Visited { steps: Cell::new(steps), heap: Cell::new(ptr::null()) });
        let granules = |count: usize| layout(count * GRANULE, 8);
        let apart = |count: usize| {
            let block = heap.allocate(granules(count)).expect("room");
            heap.allocate(granules(2)).expect("room");
            block
        };
        let (long, short) = (apart(60), [(); 16].map(|()| apart(40)));
        while heap.allocate(granules(2)).is_some() {}
        // SAFETY: blocks of this heap.
        unsafe {
            heap.deallocate(long, granules(60));
            short.into_iter().for_each(|block| heap.deallocate(block, granules(40)));
        }
        heap.engine.exclusion.heap.set(&raw const heap);
        assert_eq!(heap.allocate(granules(50)), Some(long), "before step {steps}");
        heap.engine.exclusion.heap.set(ptr::null());
        heap.assert_valid();
    }
}
