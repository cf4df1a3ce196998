//! Large blocks that have a region each: like all others, but for where they lie.

use coreheap::sources::Limited;
use coreheap::{Content, Heap, SingleCore};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::blocks::{allocate, free, holds, layout};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{COMMITS, DECOMMITS, FRESH_IS_ZERO, OS_PAGES, RELEASES, REMAPS, TestSource};

const KIB: usize = 1024;

coreheap::geometry! {
    /// Blocks of more than 32 KiB have regions of their own.
    struct Regional {
        slice_size: 512, max_block: 1024, page_size: 2048, arena_size: 32 * 1024, magazine_slots: 7,
        magazine_bytes: 1024, page_words: 2, pages_per_group: 8, listed_words: 4, arena_map: 4, grow_size: 4096, fit_candidates: 4, own_region_above: 32 * 1024,
    }
}

type OneCore<const ABILITIES: u32> = Heap<TestSource<ABILITIES>, SingleCore, Regional>;

/// A heap whose first region is an arena by now.
fn heap<const ABILITIES: u32>(others: &[usize]) -> OneCore<ABILITIES> {
    let heap = Heap::new(TestSource::<ABILITIES>::new(&[&[32 * KIB], others].concat()), single_core());
    free(&heap, allocate(&heap, 10, 1), 10, 1);
    heap
}

#[test]
fn a_region_comes_and_goes_with_its_block() {
    fn check<const ABILITIES: u32>() {
        let heap = heap::<ABILITIES>(&[100 * KIB]);
        let before = heap.stats();
        for round in 0..3 {
            let block = allocate(&heap, 88 * KIB, round);
            let stats = heap.stats();
            assert_eq!(heap.source().regions_out(), 2);
            assert_eq!(stats.large, (1, 88 * KIB));
            assert_eq!(stats.reserved, heap.source().bytes_out());
            assert_eq!(stats.used, before.used + 88 * KIB);
            if ABILITIES & COMMITS != 0 {
                assert_eq!(stats.committed, heap.source().bytes_committed());
            }
            assert!(stats.metadata <= before.metadata + 4 * KIB, "entries, and no tables");
            assert_eq!(heap.usable_size(block.as_ptr()), Some(88 * KIB));
            // SAFETY: inside the block.
            assert_eq!(heap.usable_size(unsafe { block.as_ptr().add(512) }), None);
            let is_block = |run: &coreheap::Run| (run.start, run.content) == (block.addr().get(), Content::Large);
            assert_eq!(heap.runs().filter(is_block).map(|run| run.size).collect::<Vec<_>>(), [88 * KIB]);
            let left_over = stats.reserved - heap.runs().map(|run| run.size).sum::<usize>();
            assert!(left_over < KIB, "{left_over} bytes are in no run");
            let mut runs: Vec<_> = heap.runs().map(|run| (run.start, run.size)).collect();
            runs.sort();
            assert!(runs.iter().all(|(_, size)| *size > 0) && runs.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
            heap.purge();
            heap.assert_valid();
            free(&heap, block, 88 * KIB, round);
            assert_eq!(heap.source().regions_out(), 1);
            heap.assert_valid();
        }
        let after = heap.stats();
        assert_eq!((after.used, after.large, after.reserved), (before.used, (0, 0), before.reserved));
    }
    check::<{ RELEASES }>();
    check::<{ RELEASES | COMMITS | DECOMMITS | OS_PAGES }>();
}

#[test]
fn known_zeroes_and_alignment() {
    fn check<const ABILITIES: u32>() {
        for align in [1, 4096, 16 * KIB] {
            let heap = heap::<ABILITIES>(&[100 * KIB]);
            let layout = core::alloc::Layout::from_size_align(70 * KIB, align).unwrap();
            let block = heap.allocate_zeroed(layout).expect("a region for it");
            assert!(block.addr().get().is_multiple_of(align) && heap.source().regions_out() == 2);
            // SAFETY: a live block of this layout.
            unsafe {
                assert!(holds(block, layout.size(), 0));
                heap.deallocate(block, layout);
            }
            assert_eq!(heap.source().regions_out(), 1);
        }
    }
    check::<{ RELEASES }>();
    check::<{ RELEASES | FRESH_IS_ZERO | COMMITS }>();
}

#[test]
fn a_block_is_resized_in_its_region_and_beyond() {
    fn check<const ABILITIES: u32>() {
        let heap = heap::<ABILITIES>(&[200 * KIB, 300 * KIB]);
        let mut block = heap.allocate(layout(150 * KIB)).expect("a region");
        let mut size = 150 * KIB;
        // SAFETY: the block is live and of this size.
        unsafe { (0..150).for_each(|part| block.add(part * KIB).write_bytes(part as u8, KIB)) };
        for (new, stays) in [(192 * KIB, true), (40 * KIB, true), (160 * KIB, true), (252 * KIB, false)] {
            // SAFETY: the block is live and of this size.
            let resized = unsafe { heap.reallocate(block, layout(size), new) }.expect("memory");
            assert_eq!(resized == block, stays, "{size} -> {new}");
            (block, size) = (resized, new);
            assert_eq!(heap.stats().large, (1, new));
            // SAFETY: inside the block.
            assert!(unsafe { (0..40).all(|part| holds(block.add(part * KIB), KIB, part as u8)) });
            heap.assert_valid();
        }
        assert_eq!(heap.source().regions_out(), 2, "the first region went when the block moved");
        // SAFETY: the block is live and of this size.
        unsafe { heap.deallocate(block, layout(size)) };
        assert_eq!(heap.stats().used, 0);
    }
    check::<{ RELEASES }>();
    check::<{ RELEASES | COMMITS | DECOMMITS }>();
    check::<{ RELEASES | COMMITS | DECOMMITS | OS_PAGES | REMAPS }>();
}

fn unaligned(size: usize) -> core::alloc::Layout {
    core::alloc::Layout::from_size_align(size, 1).expect("a layout")
}

/// Where the source remaps, a block that is all of its region grows and shrinks with it; also one that has outgrown its arena. Refused, it is copied.
#[test]
fn a_region_moves_with_its_block() {
    fn check<const ABILITIES: u32>() {
        for refused in [false, true] {
            let heap = heap::<ABILITIES>(&[80 * KIB, 150 * KIB, 200 * KIB, 300 * KIB]);
            heap.source().refusals().refuse_every(Call::Remap, refused.into());
            let mut block = heap.allocate(unaligned(8 * KIB)).expect("room in the arena");
            assert_eq!(heap.source().regions_out(), 1);
            // SAFETY: the block is live and of this size.
            unsafe { (0..8).for_each(|part| block.add(part * KIB).write_bytes(part as u8, KIB)) };
            let mut size = 8 * KIB;
            for (new, remaps) in [(80 * KIB, 0), (140 * KIB, 1), (192 * KIB, 2), (100 * KIB, 3)] {
                // SAFETY: the block is live and of this size.
                block = unsafe { heap.reallocate(block, unaligned(size), new) }.expect("memory");
                size = new;
                let refusals = heap.source().refusals();
                assert_eq!((refusals.granted(Call::Remap), heap.source().regions_out()), (if refused { 0 } else { remaps }, 2));
                assert_eq!(heap.stats().large, (1, new));
                assert_eq!(heap.usable_size(block.as_ptr()), Some(new));
                // SAFETY: inside the block.
                assert!(unsafe { (0..8).all(|part| holds(block.add(part * KIB), KIB, part as u8)) });
                heap.assert_valid();
            }
            // SAFETY: the block is live and of this size.
            unsafe { heap.deallocate(block, unaligned(size)) };
            assert_eq!((heap.stats().used, heap.source().regions_out()), (0, 1));
        }
    }
    check::<{ RELEASES | REMAPS }>();
    check::<{ RELEASES | COMMITS | DECOMMITS | OS_PAGES | REMAPS }>();
}

/// A source that moves a region does not know how the block in it is aligned.
#[test]
fn a_region_of_an_aligned_block_stays() {
    let heap = heap::<{ RELEASES | REMAPS | OS_PAGES }>(&[80 * KIB, 300 * KIB]);
    let wish = |size| core::alloc::Layout::from_size_align(size, 8192).expect("a layout");
    let block = heap.allocate(wish(64 * KIB)).expect("memory");
    // SAFETY: a live block of this layout.
    unsafe {
        let moved = heap.reallocate(block, wish(64 * KIB), 100 * KIB).expect("memory");
        assert!(moved.addr().get().is_multiple_of(8192) && heap.source().refusals().calls(Call::Remap) == 0);
        heap.deallocate(moved, wish(100 * KIB));
    }
}

#[test]
fn a_region_that_is_far_too_big_becomes_an_arena() {
    let heap = heap::<{ RELEASES }>(&[200 * KIB]);
    let block = allocate(&heap, 40 * KIB, 1);
    let other = allocate(&heap, 45 * KIB, 2);
    assert_eq!(heap.source().regions_out(), 2);
    free(&heap, block, 40 * KIB, 1);
    free(&heap, other, 45 * KIB, 2);
    assert_eq!(heap.source().regions_out(), 2);
    heap.assert_valid();
}

#[test]
fn a_refused_commit_gives_the_region_back() {
    let heap = heap::<{ RELEASES | COMMITS | DECOMMITS }>(&[100 * KIB]);
    let metadata = || heap.stats().metadata;
    free(&heap, allocate(&heap, 90 * KIB, 1), 90 * KIB, 1);
    let before = metadata();
    heap.source().refusals().refuse_every(Call::Commit, 1);
    assert_eq!(heap.allocate(layout(90 * KIB)), None);
    assert_eq!((heap.source().regions_out(), metadata()), (1, before));
    heap.source().refusals().refuse_every(Call::Commit, 0);
    free(&heap, allocate(&heap, 90 * KIB, 2), 90 * KIB, 2);
}

/// Where only the block itself is too much, no arena is made for it, whose tables would stay.
#[test]
fn a_block_beyond_a_limit_leaves_nothing_behind() {
    type Source = TestSource<{ RELEASES | COMMITS | DECOMMITS }>;
    let source = Limited::new(Source::new(&[32 * KIB, 400 * KIB]), 120 * KIB);
    let heap: Heap<_, _, Regional> = Heap::new(source, single_core());
    let small = heap.allocate(layout(10)).expect("memory");
    // Entries for regions are made once.
    assert_eq!(heap.allocate(layout(250 * KIB)), None);
    let used = heap.source().used();
    for size in [250 * KIB, 390 * KIB] {
        assert_eq!(heap.allocate(layout(size)), None);
        assert_eq!((heap.source().source().regions_out(), heap.source().used()), (1, used));
        // SAFETY: a live block of this size.
        assert_eq!(unsafe { heap.reallocate(small, layout(10), size) }, None);
    }
    heap.assert_valid();
}

#[test]
fn a_heap_that_ends_releases_them() {
    let heap = heap::<{ RELEASES }>(&[50 * KIB, 100 * KIB]);
    let _live = [allocate(&heap, 40 * KIB, 1), allocate(&heap, 90 * KIB, 2)];
    assert_eq!(heap.source().regions_out(), 3);
    // The source checks that nothing is left.
}

#[test]
fn random_actions() {
    fn check<const ABILITIES: u32>() {
        let sizes = [50, 60, 70, 90, 100, 120, 200, 400].map(|size| size * KIB);
        let heap = heap::<ABILITIES>(&sizes);
        let inside = |start, size| heap.source().contains(start, size);
        let limits = Limits { size: 150 * KIB, align: 8192, live: 60 };
        for seed in 0..if cfg!(miri) { 1 } else { 20 } {
            let mut driver = Driver::new(&heap, &inside);
            driver.run(&mut Rng::new(seed), &limits, if cfg!(miri) { 12 } else { 200 });
            driver.finish();
        }
    }
    check::<{ RELEASES | COMMITS | DECOMMITS }>();
    if !cfg!(miri) {
        check::<{ RELEASES }>();
        check::<{ RELEASES | COMMITS | DECOMMITS | OS_PAGES | REMAPS | FRESH_IS_ZERO }>();
    }
}
