//! Which layouts a block may be freed with and what is no block; what is cut, and what is looked at.

use super::super::*;
use super::tag::LEAST;
use crate::base::misuse::Misuse;
use crate::small::exclusion::Unshared;
use crate::source::page_source::Region;
use crate::source::page_source::tests::script::Script;

fn heap<const READY: usize>(sizes: &[usize]) -> DenseHeap<Script, Unshared, READY> {
    let answers: std::vec::Vec<_> = (0..sizes.len()).map(Some).collect();
    // SAFETY: the test's own context.
    DenseHeap::new(Script::new(sizes, 0, &answers), unsafe { Unshared::new() })
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Allocates all that is free, a run at a time.
fn use_up<const READY: usize>(heap: &DenseHeap<Script, Unshared, READY>) {
    while heap.allocate(layout(heap.stats().largest_free_run.max(1))).is_some() {}
}

#[test]
fn a_block_is_freed_with_a_layout_that_it_may_have_had() {
    wrong_layouts::<0>(|_| 0);
    wrong_layouts::<8>(|least| least / 4);
}

/// `more`: by how much a block may be longer than so many bytes, beside three granules.
fn wrong_layouts<const READY: usize>(more: fn(usize) -> usize) {
    let heap = heap::<READY>(&[16 * 1024]);
    let room = 61 * GRANULE - WORD;
    for size in (1..room + 20).rev().step_by(if cfg!(miri) { 53 } else { 1 }) {
        let block = heap.allocate(layout(room)).expect("room").addr().get();
        assert_eq!(heap.alone(|heap| heap.usable_size(block_of(block))), room);
        let least = size + WORD;
        let fits = least <= 61 * GRANULE && 61 * GRANULE - least < 3 * GRANULE + more(least);
        let freed = heap.alone(|mut heap| heap.free(block_of(block), Some(layout(size))));
        assert_eq!(freed, if fits { Ok(()) } else { Err(Misuse::WrongLayout) }, "{size} for {room}");
        if !fits {
            assert_eq!(heap.alone(|mut heap| heap.free(block_of(block), None)), Ok(()));
        }
        assert_eq!(heap.alone(|mut heap| heap.free(block_of(block), None)), Err(Misuse::DoubleFree));
    }
    heap.assert_valid();
    assert_eq!(heap.stats().used, 0);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds look")]
fn what_lies_in_no_region_is_foreign() {
    let heap = heap::<0>(&[4096, 8192]);
    let blocks = [3000, 6000].map(|size| heap.allocate(layout(size)).expect("room").addr().get());
    let free = |room: usize| heap.alone(|mut heap| heap.free(block_of(room), None));
    for (region, block) in heap.source().regions.iter().zip(blocks) {
        let (start, end) = (region.start.addr().get(), region.start.addr().get() + region.size);
        for other in [start - GRANULE, start, start + GRANULE, end, end + GRANULE, block + 1, block + WORD, block - WORD] {
            assert!(other == block || free(other) == Err(Misuse::Foreign), "{other:#x} of {start:#x} to {end:#x}");
        }
        assert_eq!((free(block), free(block)), (Ok(()), Err(Misuse::DoubleFree)));
    }
    heap.assert_valid();
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_block_in_the_middle_is_cut_at_both_ends() {
    let heap = heap::<0>(&[16 * 1024]);
    for granules in 1..40 {
        let align = 1 << (granules % 4 + 5);
        let wanted = Layout::from_size_align(granules * GRANULE, align).expect("a layout");
        let [before, block, behind] =
            [layout(granules * 8), wanted, layout(1)].map(|layout| heap.allocate(layout).expect("room"));
        heap.assert_valid();
        assert!(block.addr().get().is_multiple_of(align));
        // SAFETY: blocks of this heap.
        unsafe {
            heap.deallocate(block, wanted);
            heap.deallocate(before, layout(granules * 8));
            heap.assert_valid();
            heap.deallocate(behind, layout(1));
        }
        assert_eq!(heap.stats().used, 0);
    }
}

/// Free blocks of one size, as many as are freed of `count` side by side, and nothing else.
fn fill_but<const READY: usize>(
    heap: &DenseHeap<Script, Unshared, READY>,
    size: usize,
    gaps: usize,
) -> std::vec::Vec<NonNull<u8>> {
    let blocks: std::vec::Vec<_> = (0..2 * gaps).map(|_| heap.allocate(layout(size)).expect("room")).collect();
    use_up(heap);
    let free: std::vec::Vec<_> = blocks.into_iter().step_by(2).collect();
    // SAFETY: blocks of this heap.
    free.iter().for_each(|block| unsafe { heap.deallocate(*block, layout(size)) });
    free
}

#[test]
fn all_blocks_that_may_be_long_enough_are_looked_at_before_the_source_is_asked() {
    let heap = heap::<0>(&[16 * 1024]);
    // Of a bin of several sizes, one that is longer than the others: it was freed first.
    let sizes = [41, 40].map(|granules| layout(granules * GRANULE - WORD));
    let long = heap.allocate(sizes[0]).expect("room");
    heap.allocate(layout(1)).expect("room");
    // SAFETY: a block of this heap.
    let blocks = {
        let blocks: std::vec::Vec<_> = (0..20).map(|_| heap.allocate(sizes[1]).expect("room")).collect();
        use_up(&heap);
        blocks
    };
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(long, sizes[0]);
        blocks.iter().step_by(2).for_each(|block| heap.deallocate(*block, sizes[1]));
    }
    let asked = heap.source().asked();
    assert_eq!((heap.allocate(sizes[0]), heap.source().asked()), (Some(long), asked));
    assert_eq!(heap.allocate(sizes[0]), None);
    heap.assert_valid();
}

#[test]
fn of_short_blocks_the_one_that_fits_is_taken_and_all_of_it() {
    let heap = heap::<0>(&[8 * 1024]);
    let free = fill_but(&heap, 2 * LEAST - WORD, 3);
    let used = heap.stats().used;
    let block = heap.allocate(layout(2 * LEAST - WORD - GRANULE)).expect("room");
    // What is too short for a block stays with it.
    assert!(free.contains(&block) && heap.stats().used == used + 2 * LEAST);
    let half = heap.allocate(layout(LEAST - WORD)).expect("room");
    assert!(free.contains(&half) && heap.stats().used == used + 3 * LEAST);
    heap.assert_valid();
}

/// Four blocks of a bin are looked at, before one is taken that is longer for sure.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn few_blocks_of_a_bin_are_looked_at() {
    for (short, finds) in [(0, true), (3, true), (4, false), (9, false)] {
        let heap = heap::<0>(&[16 * 1024]);
        let of = |granules: usize| layout(granules * GRANULE - WORD);
        let allocate = |granules: usize| {
            let block = heap.allocate(of(granules)).expect("room");
            heap.allocate(layout(1)).expect("room");
            block
        };
        let (long, fits) = (allocate(60), allocate(41));
        let too_short: std::vec::Vec<_> = (0..short).map(|_| allocate(40)).collect();
        use_up(&heap);
        // SAFETY: blocks of this heap.
        unsafe {
            heap.deallocate(long, of(60));
            heap.deallocate(fits, of(41));
            too_short.iter().for_each(|block| heap.deallocate(*block, of(40)));
        }
        assert_eq!(heap.allocate(of(41)), Some(if finds { fits } else { long }), "{short}");
        heap.assert_valid();
    }
}

#[test]
fn regions_that_touch_are_not_joined_where_the_source_does_not_say_so() {
    let mut source = Script::new(&[8192], 0, &[Some(0), Some(1)]);
    let start = source.regions[0].start;
    // SAFETY: inside the region.
    let halves = [0, 4096].map(|offset| Region { start: unsafe { start.add(offset) }, size: 4096 });
    source.regions = halves.to_vec();
    // SAFETY: the test's own context.
    let heap = DenseHeap::<_, _, 0>::new(source, unsafe { Unshared::new() });
    let blocks = [(); 2].map(|()| heap.allocate(layout(3000)).expect("room"));
    // SAFETY: blocks of this heap.
    blocks.iter().for_each(|block| unsafe { heap.deallocate(*block, layout(3000)) });
    heap.assert_valid();
    assert_eq!(heap.alone(|heap| heap.regions().count()), 2);
    assert!(heap.stats().largest_free_run < 4096);
}

#[test]
fn a_layout_is_changed_in_place_only_where_it_is_aligned() {
    let heap = heap::<0>(&[16 * 1024]);
    let at = |size, align| Layout::from_size_align(size, align).expect("a layout");
    for size in (16..400).step_by(if cfg!(miri) { 96 } else { 16 }) {
        let [block, behind] = [at(500, 8), at(size, 8)].map(|layout| heap.allocate(layout).expect("room"));
        let align = 1 << block.addr().trailing_zeros();
        // SAFETY: blocks of this heap.
        unsafe {
            block.write_bytes(7, 500);
            assert_eq!(heap.change_layout(block, at(500, 8), at(400, 1)), Some(block));
            assert_eq!(heap.change_layout(block, at(400, 1), at(500, align)), Some(block));
            let moved = heap.change_layout(block, at(500, align), at(24, 2 * align)).expect("room");
            heap.assert_valid();
            assert!(moved != block && moved.addr().get().is_multiple_of(2 * align));
            assert_eq!(moved.cast::<[u8; 24]>().read(), [7; 24]);
            heap.deallocate(moved, at(24, 2 * align));
            heap.deallocate(behind, at(size, 8));
        }
        // The next ones lie elsewhere.
        heap.allocate(at(size, 8)).expect("room");
    }
}

#[test]
fn a_block_cannot_change_its_size_with_another_ones_layout() {
    let heap = heap::<0>(&[4096]);
    let block = heap.allocate(layout(24)).expect("room");
    // SAFETY: a mistake on purpose: a debug build panics, a release build leaves it alone.
    let change = || unsafe { heap.reallocate(block, layout(400), 24) };
    let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
    assert!(if cfg!(debug_assertions) { changed.is_err() } else { changed.is_ok_and(|changed| changed.is_none()) });
    assert_eq!(heap.stats().misuses, 1);
    heap.assert_valid();
}
