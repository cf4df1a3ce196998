//! The end of 4 GiB: a program that runs on a `Coreheap`, in a memory that grows until it is refused.

// A shared memory has a smaller maximum.
#![cfg(all(target_family = "wasm", not(threads)))]

use std::arch::wasm32::{memory_grow, memory_size};

use coreheap_wasm::{Coreheap, Discarding, Module, PAGE_SIZE};

#[global_allocator]
static HEAP: Coreheap<Discarding<Module>> = Coreheap::over(Discarding::new(Module, discard), 1);

/// Does not even look: `purge` says how much it was.
fn discard(start: *mut u8, size: usize) {
    assert!(!start.is_null() && size < 20 * PAGE_SIZE);
}

/// In pages.
const END: usize = 1 << 16;

#[test]
fn a_program_goes_on_when_its_memory_is_used_up() {
    // All but 20 pages are somebody else's.
    assert_ne!(memory_grow::<0>(END - 20 - memory_size::<0>()), usize::MAX, "this machine has address space for it");
    let layout = std::alloc::Layout::new::<[u8; 1000]>();
    let mut blocks = Vec::with_capacity(2000);
    blocks.extend(std::iter::from_fn(|| HEAP.heap().allocate(layout)));
    assert_eq!(memory_size::<0>(), END);
    let last = blocks.iter().map(|block| block.addr().get() + layout.size()).max().expect("some");
    assert!(last > 0usize.wrapping_sub(4096), "up to {last:#x}");
    assert!(blocks.len() * layout.size() > 18 * PAGE_SIZE, "{} blocks", blocks.len());
    assert!(HEAP.heap().allocate(std::alloc::Layout::new::<[u8; PAGE_SIZE]>()).is_none());
    assert!(Vec::<u8>::new().try_reserve(PAGE_SIZE).is_err());
    for (index, block) in blocks.iter().enumerate() {
        // SAFETY: the block's bytes.
        unsafe { block.write_bytes(index as u8, layout.size()) };
    }
    for (index, block) in blocks.drain(..).enumerate() {
        // SAFETY: a block of this heap, with its layout.
        unsafe {
            assert!(std::slice::from_raw_parts(block.as_ptr(), layout.size()).iter().all(|byte| *byte == index as u8));
            HEAP.heap().deallocate(block, layout);
        }
    }
    HEAP.heap().assert_valid();
    assert!(HEAP.heap().purge() > 10 * PAGE_SIZE, "all but the last page, and those that the test is in");
    let words: Vec<String> = (0..1000).map(|number| format!("number {number}")).collect();
    assert_eq!(words.concat().len(), 9890);
}
