use core::alloc::Layout;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::cores::core_local::SingleCore;
use crate::heap::runs::Content;
use crate::pages::geometry::LARGE_SLOTS;
use crate::source::page_source::Region;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::sources::Regions;

crate::geometry! {
    /// Large blocks of 5 to 32 slices wait.
    struct Waiting {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 32 * 1024, magazine_slots: 6,
        magazine_bytes: 2048, page_words: 128 / usize::BITS as usize, pages_per_group: 8, grow_size: 4096, waits_up_to: 4096,
    }
}

const SLICE: usize = Waiting::SLICE_SIZE;

/// How much memory a heap has here: little, since Miri looks at all of it.
const REGION: usize = 32 << 10;

type TestHeap = Heap<Regions<1>, SingleCore, Waiting>;

/// A heap that nobody has used.
fn new_heap<G: Geometry>() -> Heap<Regions<1>, SingleCore, G> {
    let region = Region { start: memory_that_stays(REGION, 4096), size: REGION };
    // SAFETY: the region is the heap's alone, and stays; one thread uses it.
    unsafe { Heap::new(Regions::new([region]), SingleCore::new()) }
}

/// A heap whose core has a core heap.
fn heap() -> TestHeap {
    heap_of::<Waiting>()
}

fn heap_of<G: Geometry>() -> Heap<Regions<1>, SingleCore, G> {
    let heap = new_heap();
    let block = heap.allocate(layout(8, 8)).expect("memory");
    // SAFETY: a live block.
    unsafe { heap.deallocate(block, layout(8, 8)) };
    heap.purge();
    heap
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn allocate(heap: &TestHeap, slices: usize) -> NonNull<u8> {
    heap.allocate(layout(slices * SLICE, 8)).expect("memory")
}

fn free(heap: &TestHeap, block: NonNull<u8>, slices: usize) {
    // SAFETY: a live block of this length.
    unsafe { heap.deallocate(block, layout(slices * SLICE, 8)) };
    heap.assert_valid();
}

fn waiting_slices(heap: &TestHeap) -> Vec<usize> {
    heap.waiting_pages().map(Page::slice_count).collect()
}

/// The core heap is made for them if need be.
#[test]
fn blocks_wait_where_there_are_large_ones_only() {
    let heap = new_heap();
    let block = allocate(&heap, 5);
    free(&heap, block, 5);
    assert_eq!((waiting_slices(&heap), allocate(&heap, 5)), ([5].to_vec(), block));
}

#[test]
fn a_freed_block_serves_the_next_request_of_its_length() {
    let heap = heap();
    let (block, other) = (allocate(&heap, 5), allocate(&heap, 6));
    free(&heap, block, 5);
    assert_eq!((waiting_slices(&heap), heap.usable_size(block.as_ptr())), ([5].to_vec(), None));
    assert_eq!(heap.stats().used, 6 * SLICE, "what waits is not in use");
    let is_its = |run: &crate::heap::runs::Run| run.start == block.addr().get();
    assert!(heap.runs().find(is_its).is_some_and(|run| run.content == Content::Free { committed: true }));
    free(&heap, other, 6);
    assert_eq!([allocate(&heap, 6), allocate(&heap, 5)], [other, block]);
    assert_eq!(heap.usable_size(block.as_ptr()), Some(5 * SLICE));
    assert!(waiting_slices(&heap).is_empty());
    heap.assert_valid();
}

#[test]
fn a_second_free_is_noticed_while_a_block_waits() {
    let heap = heap();
    let block = allocate(&heap, 5);
    free(&heap, block, 5);
    for _ in 0..2 {
        let before = heap.misuses.count();
        // SAFETY: misuse on purpose, which is seen.
        let told = catch_unwind(AssertUnwindSafe(|| unsafe { heap.deallocate_unsized(block.as_ptr()) }));
        assert_eq!(heap.misuses.count(), before + 1);
        let message = told.err().map(|told| told.downcast::<String>().map_or(String::new(), |message| *message));
        assert!(message.is_none_or(|message| message.contains("double free")), "a debug build says what it is");
    }
    assert_eq!(waiting_slices(&heap), [5]);
    assert_eq!(allocate(&heap, 5), block);
    assert_ne!(allocate(&heap, 5), block);
}

#[test]
fn lengths_are_those_of_size_classes_where_there_is_room() {
    let heap = heap();
    let block = allocate(&heap, 17);
    assert_eq!(heap.usable_size(block.as_ptr()), Some(18 * SLICE));
    free(&heap, block, 17);
    assert_eq!(allocate(&heap, 18), block);
    free(&heap, block, 18);
    // Too long to wait, or shorter than any that does.
    for slices in [33, 40] {
        let block = allocate(&heap, slices);
        assert_eq!(heap.usable_size(block.as_ptr()), Some(slices * SLICE));
        free(&heap, block, slices);
    }
    assert_eq!(waiting_slices(&heap), [18]);
}

#[test]
fn no_more_wait_than_a_magazine_has_room_for() {
    let heap = heap();
    let blocks: Vec<_> = (0..5).map(|_| allocate(&heap, 5)).collect();
    blocks.into_iter().for_each(|block| free(&heap, block, 5));
    assert_eq!(waiting_slices(&heap), [5; 2048 / (5 * SLICE)]);
    let block = allocate(&heap, 32);
    free(&heap, block, 32);
    assert_eq!(waiting_slices(&heap).len(), 4, "one of those that are longer");
}

crate::geometry! {
    /// More large blocks wait in one magazine than blocks of a size class.
    struct Single {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 64 * 1024, magazine_slots: 1,
        magazine_bytes: 4096, page_words: 128 / usize::BITS as usize, pages_per_group: 8, grow_size: 4096, waits_up_to: 4096,
    }
}

#[test]
fn magazines_of_large_blocks_are_emptied_whatever_the_others_hold() {
    let heap = heap_of::<Single>();
    let block = || heap.allocate(layout(5 * SLICE, 8)).expect("memory");
    type Way = fn(&Heap<Regions<1>, SingleCore, Single>);
    let ways: [Way; 3] = [|heap| _ = heap.purge_aged(), |heap| _ = heap.purge(), |heap| heap.drain_own(Waiting::CLASS_COUNT)];
    for give_back in ways {
        let blocks = [block(), block(), block(), block()];
        // SAFETY: live blocks.
        blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(5 * SLICE, 8)) });
        assert_eq!(heap.waiting_pages().count(), LARGE_SLOTS);
        give_back(&heap);
        assert_eq!(heap.waiting_pages().count(), 0);
        heap.assert_valid();
    }
}

#[test]
fn what_waits_goes_back_by_itself_by_purge_and_when_memory_is_short() {
    let ways: [fn(&TestHeap); 3] = [
        |heap| _ = heap.purge_aged(),
        |heap| _ = heap.purge(),
        |heap| {
            assert!(heap.allocate(layout(1 << 20, 8)).is_none());
            // Requests that could be served if all were free; of half of the memory first, so that few are needed.
            let sizes = core::iter::once(REGION / 2).chain(core::iter::repeat(512));
            let blocks: Vec<_> = sizes.map_while(|size| Some((heap.allocate(layout(size, 8))?, size))).collect();
            assert!(blocks.len() > 1);
            // SAFETY: live blocks.
            blocks.into_iter().for_each(|(block, size)| unsafe { heap.deallocate(block, layout(size, 8)) });
        },
    ];
    for give_back in ways {
        let heap = heap();
        let blocks = [5, 8, 18].map(|slices| (allocate(&heap, slices), slices));
        blocks.into_iter().for_each(|(block, slices)| free(&heap, block, slices));
        assert_eq!(waiting_slices(&heap), [5, 8, 18]);
        give_back(&heap);
        heap.assert_valid();
        assert!(waiting_slices(&heap).is_empty());
    }
}

#[test]
fn a_block_that_waited_is_cleared_where_zeroes_are_asked_for() {
    let heap = heap();
    let block = allocate(&heap, 9);
    // SAFETY: the block's bytes.
    unsafe { block.write_bytes(0x5a, 9 * SLICE) };
    free(&heap, block, 9);
    let zeroed = heap.allocate_zeroed(layout(9 * SLICE, 8)).expect("it waits");
    assert_eq!(zeroed, block);
    // SAFETY: the block's bytes.
    assert!(unsafe { core::slice::from_raw_parts(zeroed.as_ptr(), 9 * SLICE) }.iter().all(|byte| *byte == 0));
}

#[test]
fn who_asks_for_more_alignment_gets_it() {
    let heap = heap();
    let mut blocks: Vec<_> = (0..3).map(|_| allocate(&heap, 5)).collect();
    blocks.drain(..).for_each(|block| free(&heap, block, 5));
    for _ in 0..3 {
        let block = heap.allocate(layout(5 * SLICE, 1024)).expect("memory");
        assert!(block.addr().get().is_multiple_of(1024));
        blocks.push(block);
    }
    // SAFETY: live blocks.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(5 * SLICE, 1024)) });
    assert_eq!(waiting_slices(&heap).len(), 3, "they serve whoever asks for less");
    heap.assert_valid();
}

/// Where there is no room for a longer one, a block is as long as it must be; and stays where it is as long as it is long enough.
#[test]
fn a_block_is_no_longer_than_it_must_be_where_memory_is_short() {
    let heap = heap();
    let block = allocate(&heap, 17);
    // SAFETY: a live block.
    let resized = |slices: usize, from: usize| unsafe { heap.reallocate(block, layout(from * SLICE, 8), slices * SLICE) };
    assert_eq!((resized(18, 17), resized(17, 18)), (Some(block), Some(block)));
    assert_eq!(heap.usable_size(block.as_ptr()), Some(18 * SLICE));
    // Shorter, and the slice behind it is another's.
    assert_eq!((resized(5, 17), heap.usable_size(block.as_ptr())), (Some(block), Some(5 * SLICE)));
    let short = heap.allocate(layout(5 * SLICE, 8)).expect("memory");
    let long: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(33 * SLICE, 8))).collect();
    while heap.allocate(layout(5 * SLICE, 8)).is_some() {}
    assert!(heap.allocate(layout(17 * SLICE, 8)).is_none());
    // A hole of 33 slices between others: 17 fit beside 16; and headers for both.
    free(&heap, long[1], 33);
    free(&heap, short, 5);
    heap.purge();
    let other = heap.allocate(layout(16 * SLICE, 8)).expect("room");
    let exact = heap.allocate(layout(17 * SLICE, 8)).expect("just enough room");
    assert_eq!(heap.usable_size(exact.as_ptr()), Some(17 * SLICE));
    // SAFETY: a live block.
    assert_eq!(unsafe { heap.reallocate(exact, layout(17 * SLICE, 8), 17 * SLICE - 1) }, Some(exact));
    free(&heap, exact, 17);
    assert!(waiting_slices(&heap).is_empty(), "it is of no class's length");
    free(&heap, other, 16);
    assert_eq!(waiting_slices(&heap), [16]);
}
