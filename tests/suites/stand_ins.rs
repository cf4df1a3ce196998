//! Blocks that shrink a little stay where they are, and stand in for blocks of a smaller class from then on.
#![cfg(not(miri))] // Miri's geometry has no blocks so big.

use std::alloc::Layout;
use std::ptr::NonNull;

use coreheap::{Heap, Server, SingleCore};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::sources::TestSource;

type ServerHeap = Heap<TestSource<0>, SingleCore, Server>;

fn heap() -> ServerHeap {
    Heap::new(TestSource::new(&[2 << 20]), single_core())
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn fill(block: NonNull<u8>, size: usize) {
    // SAFETY: the caller's block.
    unsafe { (0..size).for_each(|at| block.add(at).write(at as u8)) }
}

fn holds(block: NonNull<u8>, size: usize) -> bool {
    // SAFETY: the caller's block.
    unsafe { (0..size).all(|at| block.add(at).read() == at as u8) }
}

#[test]
fn they_shrink_and_grow_in_place() {
    let heap = heap();
    let block = heap.allocate(layout(4096)).expect("room");
    fill(block, 4096);
    // SAFETY: one block of this heap, with its layout at each time.
    unsafe {
        assert_eq!(heap.reallocate(block, layout(4096), 3000), Some(block));
        assert_eq!(heap.reallocate(block, layout(3000), 3500), Some(block), "there is room");
        assert_eq!(heap.reallocate(block, layout(3500), 4096), Some(block));
        assert_eq!(heap.reallocate(block, layout(4096), 3000), Some(block));
        assert_eq!(heap.usable_size(block.as_ptr()), Some(4096));
        let moved = heap.reallocate(block, layout(3000), 2000).expect("room");
        assert_ne!(moved, block, "half of it would be waste, whatever it passed for before");
        assert!(holds(moved, 2000));
        heap.deallocate(moved, layout(2000));
    }
    heap.assert_valid();
    heap.purge();
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn they_are_used_again_and_go_home_in_the_end() {
    let heap = heap();
    let shrunk: Vec<_> = (0..40)
        .map(|_| {
            let block = heap.allocate(layout(4096)).expect("room");
            // SAFETY: a block of this heap.
            unsafe { heap.reallocate(block, layout(4096), 3000) }.expect("room")
        })
        .collect();
    // SAFETY: blocks of this heap, with their layouts; one of them with all of its bytes.
    shrunk
        .iter()
        .enumerate()
        .for_each(|(number, block)| unsafe { heap.deallocate(*block, layout(if number == 7 { 4096 } else { 3000 })) });
    heap.assert_valid();
    assert_eq!(heap.stats().used, 0, "in magazines they count as what they are");
    let again = heap.allocate(layout(3000)).expect("room");
    assert!(shrunk.contains(&again), "ready like any other block of its class");
    // SAFETY: as above.
    unsafe { heap.deallocate(again, layout(3000)) };
    heap.purge();
    heap.assert_valid();
    let stats = heap.stats();
    assert!(stats.used == 0 && stats.classes().all(|class| class.used == 0 && class.in_magazines == 0));
}

/// A block may be at a multiple of 256 only; as one of 2,048 bytes it could be given to somebody who asks for more.
#[test]
fn they_are_aligned_like_the_class_they_pass_for() {
    let heap = heap();
    for _ in 0..8 {
        let block = heap.allocate(layout(2304)).expect("room");
        // SAFETY: a block of this heap, given back with its layout.
        unsafe {
            let shrunk = heap.reallocate(block, layout(2304), 2048).expect("room");
            assert!(shrunk != block && shrunk.addr().get().is_multiple_of(2048));
            heap.deallocate(shrunk, layout(2048));
        }
    }
    heap.assert_valid();
}
