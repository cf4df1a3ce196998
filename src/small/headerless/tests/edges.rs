//! Runs that fit just so, and regions that do.

use super::super::chunk::{CARD, Chunk};
use super::*;

/// What [`HeaderlessHeap`] does when it is not sure.
fn allocate_from_all<S: PageSource>(heap: &mut Alone<'_, S>, layout: Layout) -> Option<usize> {
    let mut cursor = None;
    loop {
        let found = heap.allocate_from(&mut cursor, layout).map(NonZeroUsize::get);
        if found.is_some() || cursor.is_none() {
            return found;
        }
    }
}

/// Of a bin of long runs some are too short, and so many that not all of them are looked at.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn a_run_that_is_long_enough_is_found_behind_many_that_are_too_short() {
    with_heap_of(8000, |heap| {
        let mut lens = [40 * GRANULE; 36];
        lens[3] = 60 * GRANULE;
        let runs = gaps(heap, &lens, 36);
        let layout = Layout::from_size_align(50 * GRANULE, 8).expect("a layout");
        // It is not among the first sixteen.
        assert!(heap.allocate(layout).is_none() && heap.may_miss(layout));
        assert_eq!(allocate_from_all(heap, layout), Some(runs[3]));
        assert!(heap.allocate(layout).is_none() && heap.may_miss(layout));
        assert_eq!(allocate_from_all(heap, layout), None, "it was the only one");
    });
}

/// In each region of the least size a run has room if it lies well, and in none that is shorter; in one of enough bytes it always has.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn regions_are_as_long_as_they_must_be() {
    let mut memory = std::vec![0u64; 300 * 1024 / 8];
    let start: *mut u8 = memory.as_mut_ptr().cast();
    // SAFETY: memory that stays until the end of this function.
    let source = unsafe { FixedRegion::over(start, 300 * 1024) };
    let words = Words(&source);
    let room = |skew: usize, size: usize| {
        // SAFETY: inside the memory.
        let start = unsafe { NonNull::new(start.add(skew)).expect("an array") };
        Chunk::create(words, Region { start, size }).map_or(0, |chunk| chunk.end(words) - chunk.start(words))
    };
    let mut tight = 0;
    for len in (LEAST..12 * CARD).step_by(GRANULE).chain([200 * CARD, 270 * CARD, 280 * CARD]) {
        let (least, enough) = (Chunk::least_region_for(len), Chunk::region_for(len).expect("not too long"));
        for skew in 0..2 * GRANULE {
            assert!(room(skew, enough) >= len, "{len} in {enough} at {skew}");
            assert!(room(skew, least - 1) < len, "{len} in {} at {skew}", least - 1);
            tight += usize::from(room(skew, least) >= len);
        }
    }
    assert!(tight > 50, "some lie as well as can be: {tight}");
}

#[test]
fn the_last_byte_of_the_address_space_is_not_used() {
    // Nothing is touched: for lack of that byte there is no room for a granule.
    let size = 3 * GRANULE;
    let start = NonNull::new(core::ptr::without_provenance_mut(usize::MAX - (size - 1))).expect("not null");
    let mut memory = [0u64; 1];
    // SAFETY: memory that stays until the end of this function.
    let source = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), 8) };
    assert_eq!(Chunk::create(Words(&source), Region { start, size }), None);
}

#[test]
fn a_region_without_room_for_a_granule_makes_no_chunk() {
    let mut memory = [0xa5a5_a5a5_u64; 20];
    let start: *mut u8 = memory.as_mut_ptr().cast();
    // SAFETY: memory that stays until the end of this function.
    let source = unsafe { FixedRegion::over(start, size_of_val(&memory)) };
    for size in (0..size_of_val(&memory) - 8).step_by(if cfg!(miri) { 5 } else { 1 }) {
        for skew in 0..8 {
            // SAFETY: inside the memory.
            let at = unsafe { NonNull::new(start.add(skew)).expect("an array") };
            let chunk = Chunk::create(Words(&source), Region { start: at, size });
            let end = start.addr() + skew + size;
            let is_inside =
                |chunk: Chunk| chunk.start(Words(&source)) < chunk.end(Words(&source)) && chunk.end(Words(&source)) <= end;
            assert!(chunk.is_none_or(is_inside), "{size} at {skew}");
            assert!(chunk.is_some() || size < Chunk::region_for(GRANULE).expect("not too long"));
        }
    }
}

/// A run that ends where a card does is found by who is in the next one.
#[test]
fn runs_join_across_cards() {
    with_heap(|heap| {
        let capacity = heap.capacity_and_free().0;
        let layout = Layout::from_size_align(BLOCK, CARD).expect("a layout");
        let block = heap.allocate(layout).expect("room").get();
        assert_eq!(heap.resize(block, BLOCK, 4500), Ok(true), "so that it does not become ready");
        assert_eq!(heap.free(block, 4500), Ok(()));
        assert_eq!(heap.longest_from(&mut None), capacity);
    });
}

#[test]
fn a_block_that_is_ready_cannot_be_freed() {
    with_heap(|heap| {
        let layout = Layout::from_size_align(BLOCK, 8).expect("a layout");
        let [block, other] = [(); 2].map(|()| heap.allocate(layout).expect("room").get());
        assert_eq!(heap.free(block, BLOCK), Ok(()));
        assert_eq!([block, other].map(|block| heap.check(block)), [Err(Misuse::DoubleFree), Ok(())]);
    });
}

#[test]
fn the_block_before_a_free_run_grows_into_it() {
    with_heap(|heap| {
        let [first, second, third, _last] = blocks(heap);
        assert_eq!(heap.free(second, BLOCK), Ok(()));
        assert_eq!(heap.resize(first, BLOCK, 2 * BLOCK + 1), Ok(false), "more than there is");
        assert_eq!(heap.resize(first, BLOCK, 2 * BLOCK), Ok(true), "all of it");
        heap.assert_valid();
        assert_eq!(heap.resize(first, 2 * BLOCK, 2 * BLOCK + GRANULE), Ok(false), "there is a block behind it");
        assert_eq!(heap.resize(first, 2 * BLOCK, BLOCK), Ok(true));
        heap.assert_valid();
        assert_eq!(heap.resize(first, BLOCK, BLOCK + GRANULE), Ok(true), "a part of it");
        heap.assert_valid();
        assert_eq!(heap.resize(first, BLOCK + GRANULE, 2 * BLOCK - GRANULE), Ok(true), "all but a granule");
        heap.assert_valid();
        assert_eq!([heap.free(third, BLOCK), heap.free(first, 2 * BLOCK - GRANULE)], [Ok(()); 2]);
    });
}
