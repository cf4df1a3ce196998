//! Pages that are given up by a function of the program's, on a host: what is discarded is never live, and is used again.

#![cfg(not(target_family = "wasm"))]

#[allow(dead_code)] // This test needs a part of it.
mod simulated;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::conformance::conformance_with;
use coreheap_tests::fuzz::single_core;
use coreheap_tests::rng::Rng;
use coreheap_tests::subject::Subject;
use coreheap_wasm::coreheap::{DenseHeap, Heap, OneContext, PageSource, SingleCore};
use coreheap_wasm::{Discarding, GrowingMemory, LinearMemory, ModuleGeometry, PAGE_SIZE, WholePages};
use simulated::Simulated;

thread_local! {
    /// Bytes that were given up in this part of a test: in all they are more than 32 bits can count.
    static DISCARDED: Cell<usize> = const { Cell::new(0) };
}

/// Writes something else over all of it.
fn discard(start: *mut u8, size: usize) {
    assert!(size > 0 && start.addr().is_multiple_of(PAGE_SIZE) && size.is_multiple_of(PAGE_SIZE), "{start:?}, {size}");
    // SAFETY: pages of the simulated memory, of which a heap says that they are free; `what_is_live_stays` would see it if they were not.
    unsafe { start.write_bytes(0xdd, size) };
    DISCARDED.set(DISCARDED.get() + size);
}

fn memory(maximum: usize) -> Discarding<Simulated> {
    Discarding::new(Simulated::with_strangers(maximum, 5).leaving(40_000), discard)
}

fn dense<const READY: usize>() -> DenseHeap<WholePages<Discarding<Simulated>>, OneContext, READY> {
    DenseHeap::new(WholePages::new(memory(300), 1), OneContext::new())
}

fn paged() -> Heap<GrowingMemory<Discarding<Simulated>>, SingleCore, ModuleGeometry> {
    Heap::new(GrowingMemory::new(memory(300), 1), single_core())
}

#[test]
fn conforms() {
    conformance_with::<_, SingleCore, ModuleGeometry>(|| GrowingMemory::new(memory(600), 1), single_core);
}

/// The driver looks at what is in each block, purges now and then, and counts what that says.
fn act(heap: &impl Subject, memory: &Simulated, seed: u64) -> usize {
    DISCARDED.set(0);
    let inside = |start, size| memory.contains(start, size);
    let mut driver = Driver::new(heap, &inside);
    driver.run(&mut Rng::new(seed), &Limits { size: 300_000, align: 1 << 12, live: 60 }, 20_000);
    let purged = driver.finish().purged;
    assert!(DISCARDED.get() > 100 * PAGE_SIZE, "much of it was free");
    purged - DISCARDED.get()
}

#[test]
fn what_is_live_stays() {
    for seed in 1..6 {
        let heap = dense::<0>();
        assert_eq!(act(&heap, heap.source().memory().memory(), seed), 0, "a purge says what was discarded");
        let heap = dense::<72>();
        assert_eq!(act(&heap, heap.source().memory().memory(), seed), 0);
        // It counts what lies on pages that are not free whole, too.
        let heap = paged();
        act(&heap, heap.source().memory().memory(), seed);
    }
}

#[test]
fn what_was_discarded_is_used_again() {
    use_again(&dense::<0>());
    use_again(&dense::<72>());
    use_again(&paged());
}

fn use_again(heap: &impl Subject) {
    let three_pages = Layout::new::<[u8; 3 * PAGE_SIZE]>();
    let kept = Layout::new::<[u8; 100]>();
    let blocks: Vec<_> =
        (0..20).map(|_| (heap.allocate(three_pages).expect("room"), heap.allocate(kept).expect("room"))).collect();
    for (block, small) in &blocks {
        // SAFETY: the blocks' bytes, of this heap, with their layouts.
        unsafe {
            block.write_bytes(0xaa, three_pages.size());
            small.write_bytes(0xbb, kept.size());
            heap.deallocate(*block, three_pages);
        }
    }
    DISCARDED.set(0);
    assert!(heap.purge() >= 40 * PAGE_SIZE);
    let discarded = DISCARDED.get();
    assert!(discarded >= 40 * PAGE_SIZE, "two whole pages at least of each block: {discarded}");
    for (_, small) in &blocks {
        let again = heap.allocate_zeroed(three_pages).expect("room");
        // SAFETY: the blocks' bytes, of this heap, with their layouts.
        unsafe {
            assert!(std::slice::from_raw_parts(again.as_ptr(), three_pages.size()).iter().all(|byte| *byte == 0));
            assert!(std::slice::from_raw_parts(small.as_ptr(), kept.size()).iter().all(|byte| *byte == 0xbb));
            heap.deallocate(again, three_pages);
            heap.deallocate(*small, kept);
        }
    }
    heap.assert_valid();
}

thread_local! {
    /// A heap that the function uses which gives up its pages.
    static USED_INSIDE: DenseHeap<WholePages<Discarding<Simulated>>, OneContext> =
        DenseHeap::new(WholePages::new(Discarding::new(Simulated::new(100), use_the_heap), 1), OneContext::new());
}

fn use_the_heap(start: *mut u8, size: usize) {
    USED_INSIDE.with(|heap| {
        let layout = Layout::new::<[u8; 40]>();
        let block = heap.allocate(layout).expect("the heap is not in use while its pages are given up");
        assert!(block.addr().get().wrapping_sub(start.addr()) >= size, "nobody can have what is given up");
        discard(start, size);
        // SAFETY: a block of this heap.
        unsafe { heap.deallocate(block, layout) };
    });
}

#[test]
fn the_function_may_use_the_heap() {
    USED_INSIDE.with(|heap| {
        let long = Layout::from_size_align(5 * PAGE_SIZE, 8).expect("a layout");
        let short = Layout::new::<[u8; 100]>();
        let blocks = [long, short, long, short].map(|layout| (heap.allocate(layout).expect("room"), layout));
        // SAFETY: blocks of this heap.
        blocks.into_iter().step_by(2).for_each(|(block, layout)| unsafe { heap.deallocate(block, layout) });
        assert!(heap.purge() >= 8 * PAGE_SIZE);
        heap.assert_valid();
        // SAFETY: as above.
        blocks.into_iter().skip(1).step_by(2).for_each(|(block, layout)| unsafe { heap.deallocate(block, layout) });
        assert!(heap.purge() >= 10 * PAGE_SIZE);
        heap.assert_valid();
        assert_eq!(heap.stats().used, 0);
    });
}

/// A memory that ends where the address space does, which nobody can touch.
struct AllAddresses;

// SAFETY: it gives no page.
unsafe impl LinearMemory for AllAddresses {
    const DISCARDS: bool = true;

    fn grow(&self, _: usize) -> Option<usize> {
        None
    }

    fn pages(&self) -> usize {
        0
    }

    fn page(&self, index: usize) -> *mut u8 {
        std::ptr::without_provenance_mut(index.wrapping_mul(PAGE_SIZE))
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) {
        assert!(start.addr().get().is_multiple_of(PAGE_SIZE) && size > 0, "{start:?}, {size}");
        DISCARDED.set(DISCARDED.get() + size);
    }
}

#[test]
fn only_whole_pages_are_discarded_up_to_the_last_of_all() {
    let source = GrowingMemory::new(AllAddresses, 1);
    // Bytes before the end of the address space, bytes of the range, and pages.
    for (before, size, pages) in [
        (PAGE_SIZE, PAGE_SIZE, 1),
        (PAGE_SIZE, PAGE_SIZE - 1, 0),
        (PAGE_SIZE - 1, PAGE_SIZE - 1, 0),
        (0xf000, 0x2000, 0),
        (0xf000, 0xf000, 0),
        (1, 1, 0),
        (3 * PAGE_SIZE + 1, 3 * PAGE_SIZE + 1, 3),
        (3 * PAGE_SIZE - 1, 3 * PAGE_SIZE - 1, 2),
        (3 * PAGE_SIZE - 1, 2 * PAGE_SIZE, 1),
        (usize::MAX - PAGE_SIZE + 1, PAGE_SIZE, 1),
    ] {
        DISCARDED.set(0);
        let start = NonNull::new(std::ptr::without_provenance_mut(0usize.wrapping_sub(before))).expect("not null");
        // SAFETY: nobody uses what is there.
        unsafe { source.decommit(start, size) };
        assert_eq!(DISCARDED.get(), pages * PAGE_SIZE, "{size} bytes, {before} before the end");
    }
}
