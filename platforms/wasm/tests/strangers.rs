//! Who else grows the memory: a program whose heap has regions that grow in place, until there is somebody's page behind them.

#![cfg(target_family = "wasm")]

use std::alloc::Layout;
use std::arch::wasm32::{memory_grow, memory_size};

use coreheap_tests::fuzz::single_core;
use coreheap_tests::watched::{Ledger, Watched};
use coreheap_wasm::coreheap::{Heap, SingleCore};
use coreheap_wasm::{GrowingMemory, Module, ModuleGeometry, PAGE_SIZE};

#[test]
fn regions_grow_in_place_until_others_grow_the_memory() {
    let ledger = Ledger::new(16 << 20);
    let heap: Heap<_, SingleCore, ModuleGeometry> =
        Heap::new(Watched::new(GrowingMemory::new(Module, 1), &ledger), single_core());
    let layout = Layout::new::<[u8; 2048]>();
    // In the C library's memory, which must not grow meanwhile.
    let mut blocks = Vec::with_capacity(1000);
    let mut fill = |pages| {
        let before = memory_size::<0>();
        while memory_size::<0>() < before + pages {
            let block = heap.allocate(layout).expect("room");
            // SAFETY: the block's bytes.
            unsafe { block.write_bytes(blocks.len() as u8, layout.size()) };
            assert!(blocks.len() < blocks.capacity());
            blocks.push(block);
        }
        ledger.regions_out()
    };
    let regions = fill(1);
    assert_eq!(fill(3), regions, "the region has grown in place");
    let strange = memory_grow::<0>(1);
    assert!(fill(3) > regions, "somebody's page lies behind it");
    // SAFETY: the page that was got.
    let strange = unsafe { std::slice::from_raw_parts((strange * PAGE_SIZE) as *const u8, PAGE_SIZE) };
    assert!(strange.iter().all(|byte| *byte == 0), "it was left alone");
    for (index, block) in blocks.into_iter().enumerate() {
        // SAFETY: a block of this heap, with its layout.
        unsafe {
            assert!(std::slice::from_raw_parts(block.as_ptr(), layout.size()).iter().all(|byte| *byte == index as u8));
            heap.deallocate(block, layout);
        }
    }
    heap.assert_valid();
}
