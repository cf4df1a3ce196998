//! Heaps over a region that ends where the address space does: none needs the addresses behind it.

// A shared memory has a smaller maximum.
#![cfg(all(target_family = "wasm", not(threads)))]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};

use coreheap_bare::List;
use coreheap_tests::rng::Rng;
use coreheap_wasm::PAGE_SIZE;
use coreheap_wasm::coreheap::sources::FixedRegion;
use coreheap_wasm::coreheap::{Compact, DenseHeap, HeaderlessHeap, Heap, SingleCore, SmallHeap, Tiny, Unshared};

/// All pages that there can be.
const END: usize = 1 << 16;

/// Fills blocks, checks and frees them, again and again; returns how many bytes were live at most.
fn act(name: &str, start: usize, heap: &impl GlobalAlloc) -> usize {
    let mut rng = Rng::new(5);
    let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
    let (mut live, mut most) = (0, 0);
    for turn in 0..20_000 {
        let layout = Layout::from_size_align(1 + rng.below(300), 1 << rng.below(8)).expect("a layout");
        // SAFETY: blocks of this heap, with their layouts, and their bytes.
        unsafe {
            let block = if rng.below(5) < 3 { heap.alloc(layout) } else { std::ptr::null_mut() };
            if !block.is_null() {
                let last = block.addr().checked_add(layout.size() - 1);
                assert!(block.addr() >= start && last.is_some(), "{name}: {layout:?} at {block:?}");
                assert!(block.addr().is_multiple_of(layout.align()), "{name}: {layout:?} at {block:?}");
                block.write_bytes(turn as u8, layout.size());
                blocks.push((block, layout, turn as u8));
                live += layout.size();
                most = most.max(live);
            } else if !blocks.is_empty() {
                let (block, layout, byte) = blocks.swap_remove(rng.below(blocks.len()));
                let bytes = std::slice::from_raw_parts(block, layout.size());
                assert!(bytes.iter().all(|found| *found == byte), "{name}: {block:?} was overwritten");
                heap.dealloc(block, layout);
                live -= layout.size();
            }
        }
    }
    // What is longer than the region, and what is aligned to more, wraps around nowhere.
    for (size, align) in [(1 << 20, 8), (isize::MAX as usize - 7, 8), (100, 1 << 20), (100, 1 << 30)] {
        // SAFETY: not of size 0.
        let block = unsafe { heap.alloc(Layout::from_size_align(size, align).expect("a layout")) };
        assert!(block.is_null(), "{name}: {size} at {align}");
    }
    // SAFETY: blocks of this heap, with their layouts.
    blocks.into_iter().for_each(|(block, layout, _)| unsafe { heap.dealloc(block, layout) });
    most
}

#[test]
fn no_address_wraps_around() {
    // Memory for the test itself; then all pages are there.
    drop(std::hint::black_box(vec![1u8; 4 << 20]));
    assert_ne!(memory_grow::<0>(END - memory_size::<0>()), usize::MAX, "this machine has address space for it");
    for (size, cut) in [(PAGE_SIZE, 0), (PAGE_SIZE, 1), (PAGE_SIZE, 8), (32 * 1024 + 8, 0), (7 * PAGE_SIZE + 4099, 0)] {
        let start = 0usize.wrapping_sub(size);
        // SAFETY: the last pages are this test's, and each heap is gone before the next one is there; one thread uses it.
        let source = || unsafe { FixedRegion::over(std::ptr::with_exposed_provenance_mut(start), size - cut) };
        // SAFETY: as above.
        let (alone, core) = (|| unsafe { Unshared::new() }, || unsafe { SingleCore::new() });
        let most = [
            act("SmallHeap", start, &SmallHeap::new(source())),
            act("HeaderlessHeap", start, &HeaderlessHeap::new(source(), alone())),
            act("DenseHeap", start, &DenseHeap::<_, _, 0>::new(source(), alone())),
            act("DenseHeap, ready blocks", start, &DenseHeap::<_, _, 72>::new(source(), alone())),
            act("Heap, Tiny", start, &Heap::<_, _, Tiny>::new(source(), core())),
            act("Heap, Compact", start, &Heap::<_, _, Compact>::new(source(), core())),
            act("List", start, &List::new(source(), alone())),
        ];
        assert!(most.iter().all(|most| most * 4 > size.min(2 * PAGE_SIZE)), "{most:?} bytes were live in {size}");
    }
}
