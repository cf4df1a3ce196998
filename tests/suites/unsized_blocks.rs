//! Owners who hold no layout: blocks that are resized and given back by their address alone, as C does it.

use std::alloc::Layout;

use coreheap::sources::FixedRegion;
use coreheap::{Compact, Geometry, Heap, PageSource, SingleCore, Tiny};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::TestSource;

const KIB: usize = 1024;
/// Bytes that the heaps have.
const REGION: usize = if cfg!(miri) { 256 * KIB } else { 16 * KIB * KIB };

type OneCore<G> = Heap<TestSource<0>, SingleCore, G>;

fn heap<G: Geometry>() -> OneCore<G> {
    Heap::new(TestSource::new(&[REGION]), single_core())
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// How many blocks are live at a time, and the size of the biggest.
const LIVE: usize = if cfg!(miri) { 8 } else { 30 };
const LARGE: usize = if cfg!(miri) { 10 * KIB } else { 100 * KIB };

/// Resizes blocks at random, with random alignments, and looks after what is in them.
fn resized<G: Geometry>(rounds: usize) {
    let heap = heap::<G>();
    let mut rng = Rng::new(7);
    let mut blocks = Vec::new();
    for round in 0..rounds {
        let most = [10, 300, 5000, LARGE][rng.below(4)];
        let (size, align) = (rng.below(most) + 1, 1 << rng.below(if round % 50 == 0 { 14 } else { 5 }));
        let byte = round as u8;
        // SAFETY: blocks of this heap, with the sizes that they were given last.
        unsafe {
            if blocks.len() < LIVE {
                let block = heap.allocate(layout(size, align)).expect("room");
                block.write_bytes(byte, size);
                blocks.push((block, size, byte));
            } else {
                let (block, old_size, old_byte) = blocks.swap_remove(rng.below(LIVE));
                let moved = heap.reallocate_unsized(block, layout(size, align)).expect("room");
                assert!(moved.addr().get().is_multiple_of(align));
                let usable = heap.usable_size(moved.as_ptr()).expect("a block");
                assert!(usable >= size);
                let kept = std::slice::from_raw_parts(moved.as_ptr(), size.min(old_size));
                assert!(kept.iter().all(|found| *found == old_byte), "from {old_size} to {size} bytes");
                if round % 3 == 0 {
                    heap.deallocate_unsized(moved.as_ptr());
                } else {
                    moved.write_bytes(byte, size);
                    blocks.push((moved, size, byte));
                }
            }
        }
    }
    // SAFETY: as above.
    blocks.into_iter().for_each(|(block, ..)| unsafe { heap.deallocate_unsized(block.as_ptr()) });
    heap.assert_valid();
    heap.purge();
    assert_eq!(heap.stats().used, 0, "nothing is left");
}

#[test]
fn resized_by_address() {
    resized::<Hosted>(if cfg!(miri) { 30 } else { 20_000 });
    if !cfg!(miri) {
        resized::<Compact>(20_000);
        resized::<Tiny>(20_000);
    }
}

#[test]
fn a_block_stays_if_it_is_not_mostly_waste() {
    let heap = heap::<Hosted>();
    let block = heap.allocate(layout(1000, 8)).expect("room");
    let usable = heap.usable_size(block.as_ptr()).expect("a block");
    // SAFETY: a block of this heap.
    unsafe {
        assert_eq!(heap.reallocate_unsized(block, layout(usable, 8)), Some(block));
        assert_eq!(heap.reallocate_unsized(block, layout(usable / 2 + 1, 8)), Some(block));
        let smaller = heap.reallocate_unsized(block, layout(usable / 2, 8)).expect("room");
        assert!(heap.usable_size(smaller.as_ptr()).expect("a block") < usable);
        // What cannot be had leaves the block.
        assert_eq!(heap.reallocate_unsized(smaller, layout(2 * REGION, 8)), None);
        heap.deallocate_unsized(smaller.as_ptr());
    }
    heap.assert_valid();
}

coreheap::geometry! {
    /// Arenas of 1 MiB, so that a test's memory can lie at a multiple of that.
    struct SmallArenas {
        slice_size: 4096, max_block: 1024, page_size: 8192, arena_size: 1 << 20, magazine_slots: 7,
        page_words: 2, pages_per_group: 8, listed_words: 4, arena_map: 4, fit_candidates: 4,
    }
}

#[test]
fn ready_blocks_are_the_same_blocks() {
    let memory = layout(1 << 20, 1 << 20);
    // SAFETY: not of size 0; the heap is gone before the memory is given back.
    unsafe {
        let start = std::alloc::alloc(memory);
        let heap = Heap::<_, SingleCore, SmallArenas>::new(FixedRegion::over(start, memory.size()), single_core());
        ready_blocks(&heap, !cfg!(debug_assertions));
        drop(heap);
        std::alloc::dealloc(start, memory);
    }
    // Elsewhere frees are left to the function that finds any arena.
    ready_blocks(&heap::<Hosted>(), false);
}

/// `at_once`: whether a free is done by `deallocate_ready`, which a debug build always leaves to the function that checks.
fn ready_blocks<S: PageSource, G: Geometry>(heap: &Heap<S, SingleCore, G>, at_once: bool) {
    let class = G::class_of(100, 8).expect("a small size");
    // SAFETY: a class of the geometry; blocks of this heap.
    unsafe {
        assert_eq!(heap.allocate_ready(class), None, "nothing was refilled yet");
        let block = heap.allocate(layout(100, 8)).expect("room");
        let ready = heap.allocate_ready(class).expect("the refill was more than one");
        assert_ne!(ready, block);
        assert_eq!(heap.deallocate_ready(ready.as_ptr()), at_once);
        if !at_once {
            heap.deallocate_unsized(ready.as_ptr());
        }
        assert_eq!(heap.allocate_ready(class), Some(ready), "the last one in");
        heap.deallocate_unsized(ready.as_ptr());
        heap.deallocate_unsized(block.as_ptr());
        // What is no small block is left to that as well.
        let large = heap.allocate(layout(LARGE, 8)).expect("room");
        assert!(!heap.deallocate_ready(large.as_ptr()) && !heap.deallocate_ready(core::ptr::null_mut()));
        heap.deallocate_unsized(large.as_ptr());
    }
    heap.assert_valid();
}
