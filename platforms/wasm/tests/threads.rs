//! Threads inside WebAssembly: the conformance suite and random actions on core heaps that workers share, and threads that exchange blocks of
//! the program's own heap, end and are replaced.

#![cfg(all(target_family = "wasm", threads))]

use std::arch::wasm32::memory_size;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::conformance::conformance_with;
use coreheap_tests::rng::Rng;
use coreheap_wasm::coreheap::Heap;
use coreheap_wasm::coreheap::sources::Limited;
use coreheap_wasm::{Coreheap, GrowingMemory, Module, ModuleGeometry, PAGE_SIZE, WorkerCores};

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

/// What a heap has got stays its own when it is gone, so each gets little.
fn limited() -> Limited<GrowingMemory<Module>> {
    Limited::new(GrowingMemory::new(Module, 1), 3 << 20)
}

#[test]
fn conforms() {
    conformance_with::<_, WorkerCores, ModuleGeometry>(limited, WorkerCores::new);
}

#[test]
fn random_actions_on_several_threads() {
    let limits = Limits { size: 40_000, align: 1 << 17, live: 300 };
    let heap: Heap<_, WorkerCores, ModuleGeometry> =
        Heap::new(Limited::new(GrowingMemory::new(Module, 1), 100 << 20), WorkerCores::new());
    let run = |seed| {
        let inside = |start: usize, size: usize| start > 0 && start + size <= memory_size::<0>() * PAGE_SIZE;
        let mut driver = Driver::new_shared(&heap, &inside);
        driver.run(&mut Rng::new(seed), &limits, 30_000);
        assert!(driver.finish().allocated > 5000);
    };
    let run = &run;
    thread::scope(|scope| {
        // Joined each: a scope does not see the end of threads that nobody joins, on this target.
        let threads: Vec<_> = (1..4).map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    heap.assert_valid();
    assert_eq!(heap.stats().used, 0, "every block was freed");
}

/// Where threads leave blocks for each other, each filled with what its length ends in.
static PLACES: [AtomicPtr<Vec<u8>>; 1000] = [const { AtomicPtr::new(null_mut()) }; 1000];

/// Puts a block in and takes another out; whether there was one.
fn swap(place: usize, block: *mut Vec<u8>) -> bool {
    let found = PLACES[place].swap(block, Ordering::AcqRel);
    if found.is_null() {
        return false;
    }
    // SAFETY: put here by `exchange`, and taken out once.
    let found = unsafe { Box::from_raw(found) };
    assert!(found.iter().all(|byte| *byte == found.len() as u8), "a block was overwritten");
    true
}

/// How many blocks of others, or of its own, a thread found in so many steps.
fn exchange(seed: u64, steps: usize) -> usize {
    let mut rng = Rng::new(seed);
    let mut step = || {
        let most = if rng.below(100) == 0 { 20_000 } else { 300 };
        let size = 1 + rng.below(most);
        swap(rng.below(PLACES.len()), Box::into_raw(Box::new(vec![size as u8; size])))
    };
    (0..steps).filter(|_| step()).count()
}

fn exchange_on(threads: u64, steps: usize) -> usize {
    let threads: Vec<_> = (0..threads).map(|seed| thread::spawn(move || exchange(seed, steps))).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
}

#[test]
fn threads_exchange_blocks_end_and_are_replaced() {
    assert!(exchange_on(4, 500_000) > 1_900_000);
    let grown = memory_size::<0>();
    // One after the other, and two at a time.
    assert!((0..100).map(|turn| exchange_on(1 + turn % 2, 2000)).sum::<usize>() > 250_000);
    let more = memory_size::<0>() - grown;
    assert!(more * PAGE_SIZE < 8 << 20, "150 threads that ended keep {more} pages");
    let left = (0..PLACES.len()).filter(|place| swap(*place, null_mut())).count();
    assert!(left > 900, "{left} blocks were left");
}
