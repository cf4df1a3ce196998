//! Inside WebAssembly: the conformance suite and random actions over the memory that this program runs in, which the C library's malloc and the test
//! grow too.

// With threads these are other heaps.
#![cfg(all(target_family = "wasm", not(threads)))]

use std::alloc::Layout;
use std::arch::wasm32::memory_size;

use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::conformance::{conformance, conformance_with};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::rng::Rng;
use coreheap_wasm::coreheap::sources::Limited;
use coreheap_wasm::coreheap::{Heap, PageSource, SingleCore};
use coreheap_wasm::{Coreheap, Discarding, GrowingMemory, LinearMemory, Module, ModuleGeometry, PAGE_SIZE, SmallCoreheap};

/// What a heap has got stays its own when it is gone, so each gets little.
fn limited() -> Limited<GrowingMemory<Module>> {
    Limited::new(GrowingMemory::new(Module, 1), 3 << 20)
}

#[test]
fn conforms() {
    conformance(limited);
    conformance_with::<_, SingleCore, ModuleGeometry>(limited, single_core);
}

#[test]
fn random_actions() {
    let limits = Limits { size: 40_000, align: 1 << 17, live: 1000 };
    let inside = |start: usize, size: usize| start > 0 && start + size <= memory_size::<0>() * PAGE_SIZE;
    let heap: Heap<_, SingleCore, ModuleGeometry> = Heap::new(limited(), single_core());
    let mut driver = Driver::new(&heap, &inside);
    driver.run(&mut Rng::new(1), &limits, 50_000);
    assert!(driver.finish().allocated > 10_000);

    let mut driver = Driver::new(FAST.heap(), &inside);
    driver.run(&mut Rng::new(2), &limits, 50_000);
    assert!(driver.finish().allocated > 10_000);

    let mut driver = Driver::new(SMALL.heap(), &inside);
    driver.run(&mut Rng::new(3), &limits, 50_000);
    assert!(driver.finish().allocated > 10_000);
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// The host writes over these bytes, and counts them.
    safe fn discard(start: *mut u8, size: usize);
    /// How many there were.
    safe fn discarded() -> usize;
}

static DISCARDING: Coreheap<Discarding<Module>> = Coreheap::over(Discarding::new(Module, |start, size| discard(start, size)), 1);

#[test]
fn what_is_free_is_discarded_and_used_again() {
    let heap = DISCARDING.heap();
    let limits = Limits { size: 300_000, align: 1 << 12, live: 30 };
    let inside = |start: usize, size: usize| start > 0 && start + size <= memory_size::<0>() * PAGE_SIZE;
    let mut driver = Driver::new(heap, &inside);
    driver.run(&mut Rng::new(4), &limits, 5000);
    let counts = driver.finish();
    assert!(counts.purged > 100 * PAGE_SIZE, "{counts:?}");
    assert_eq!(counts.purged, discarded());
    let (free, pages) = (heap.purge(), memory_size::<0>());
    assert!(discarded() == counts.purged + free && free > PAGE_SIZE);
    let layout = Layout::from_size_align(free, 1).expect("a sensible size");
    let block = heap.allocate_zeroed(layout).expect("all of it is free");
    assert_eq!(memory_size::<0>(), pages, "the memory has not grown");
    // SAFETY: the block's bytes, of a block of this heap.
    unsafe {
        assert!(std::slice::from_raw_parts(block.as_ptr(), free).iter().all(|byte| *byte == 0));
        heap.deallocate(block, layout);
    }
    heap.assert_valid();
}

static FAST: Coreheap = Coreheap::new();
static SMALL: SmallCoreheap = SmallCoreheap::new();

#[test]
fn a_small_heap_grows_by_as_much_as_it_is_told() {
    let heap = SmallCoreheap::growing_by(100);
    let before = memory_size::<0>();
    let block = heap.heap().allocate(Layout::new::<[u8; 100]>()).expect("room");
    assert_eq!(memory_size::<0>(), before + 100);
    assert!(heap.heap().allocate(Layout::new::<[u8; 95 * PAGE_SIZE]>()).is_some());
    assert_eq!(memory_size::<0>(), before + 100);
    // SAFETY: a block of this heap, with its layout.
    unsafe { heap.heap().deallocate(block, Layout::new::<[u8; 100]>()) };
    heap.heap().assert_valid();
}

#[test]
fn the_c_library_keeps_the_memory_that_the_program_was_started_with() {
    assert!(Module.initial(1).is_none());
    const { assert!(GrowingMemory::<Module>::FRESH_IS_ZERO) };
}
