//! The heap for some KiB: the action driver over dirty memory of odd starts and lengths, and what is special about it.

use std::alloc::{GlobalAlloc, Layout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use coreheap::SmallHeap;
use coreheap::sources::{FixedRegion, NoPages};
use coreheap_tests::actions::{Counts, Driver, Limits};
use coreheap_tests::recorded::Recorded;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::seed::each_seed;
use coreheap_tests::sources::TestSource;

const KIB: usize = 1024;

#[test]
fn random_actions() {
    let mut sum = Counts::default();
    each_seed("small_heap_random_actions", if cfg!(miri) { 3 } else { 60 }, |seed, mut rng| {
        let source = TestSource::<0>::new(&[[37, 4099, 777], [16 * KIB + 1, 1, 300], [900, 901, 902]][seed as usize % 3]);
        source.refusals().refuse_every(Call::Reserve, if seed % 2 == 0 { 0 } else { 3 });
        let heap = SmallHeap::new(source);
        let recorded = Recorded::new(&heap);
        let inside = |start, size| heap.source().contains(start, size);
        let mut driver = Driver::new(&recorded, &inside);
        driver.run(&mut rng, &Limits { size: 2000, align: 4096, live: 300 }, if cfg!(miri) { 60 } else { 4000 });
        let counts = driver.finish();
        sum.refused += counts.refused;
        sum.moved += counts.moved;
        sum.resized_in_place += counts.resized_in_place;
    });
    assert!(cfg!(miri) || sum.refused > 0 && sum.moved > 0 && sum.resized_in_place > 0, "{sum:?}");
}

/// A heap over dirty memory of its own.
fn over(memory: &mut [u64]) -> SmallHeap<FixedRegion> {
    memory.fill(0xa5a5_a5a5_a5a5_a5a5);
    // SAFETY: the caller keeps it while the heap is there.
    SmallHeap::new(unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(memory)) })
}

#[test]
fn nearly_all_memory_holds_blocks_and_all_of_it_comes_back() {
    let regions: &[usize] = if cfg!(miri) { &[1, 4] } else { &[1, 4, 8, 16] };
    for &kib in regions {
        let mut memory = vec![0u64; kib * KIB / 8];
        let heap = over(&mut memory);
        let mut rng = Rng::new(kib as u64);
        let whole = {
            let probe = heap.allocate(Layout::new::<u8>()).expect("room");
            // SAFETY: a block of this heap.
            unsafe { heap.deallocate(probe, Layout::new::<u8>()) };
            heap.stats().largest_free_run
        };
        assert!(whole * 100 >= kib * KIB * if kib == 1 { 75 } else { 92 }, "{whole} of {kib} KiB are for blocks");
        for _ in 0..if cfg!(miri) { 1 } else { 20 } {
            let mut blocks = Vec::new();
            let mut bytes = 0;
            loop {
                let layout = Layout::from_size_align(1 + rng.below(kib * 16), 1 << rng.below(4)).expect("a layout");
                let Some(block) = heap.allocate(layout) else { break };
                bytes += layout.size();
                blocks.push((block, layout));
            }
            assert!(bytes * 10 >= whole * if kib == 1 { 6 } else { 8 }, "{bytes} of {whole} bytes");
            while !blocks.is_empty() {
                let (block, layout) = blocks.swap_remove(rng.below(blocks.len()));
                // SAFETY: a block of this heap.
                unsafe { heap.deallocate(block, layout) };
            }
            assert_eq!((heap.stats().used, heap.stats().largest_free_run), (0, whole));
        }
        let all = Layout::from_size_align(whole, 8).expect("a layout");
        let block = heap.allocate_zeroed(all).expect("all of it as one block");
        // SAFETY: the block's bytes, of a block of this heap.
        unsafe {
            assert!(std::slice::from_raw_parts(block.as_ptr(), whole).iter().all(|byte| *byte == 0));
            let shrunk = heap.reallocate(block, all, 24).expect("it shrinks");
            assert_eq!((shrunk, heap.stats().used), (block, 24));
            assert_eq!(
                heap.reallocate(shrunk, Layout::from_size_align(24, 8).expect("a layout"), whole),
                Some(block),
                "it grows"
            );
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut memory = vec![0u64; 512];
    let heap = over(&mut memory);
    for (size, align) in [(4096, 8), (isize::MAX as usize - 15, 16), (1, 1 << (usize::BITS - 2)), (8, 8192)] {
        assert_eq!(heap.allocate(Layout::from_size_align(size, align).expect("a layout")), None, "{size} at {align}");
    }
    assert_eq!(heap.stats().used, 0);
    let empty = heap.allocate(Layout::from_size_align(0, 64).expect("a layout")).expect("size 0 has an address of its own");
    assert!(empty.addr().get().is_multiple_of(64));
    assert_eq!(SmallHeap::new(NoPages).allocate(Layout::new::<u8>()), None);
    let mut tiny = [0u64; 2];
    assert_eq!(over(&mut tiny).allocate(Layout::new::<u8>()), None, "too small for its books");
    // SAFETY: as `alloc` asks.
    unsafe {
        assert!(heap.alloc(Layout::new::<[u8; 4096]>()).is_null());
        let block = heap.alloc(Layout::new::<u64>());
        assert!(heap.realloc(block, Layout::new::<u64>(), 5000).is_null());
        heap.dealloc(block, Layout::new::<u64>());
    }
}

#[test]
fn mistakes_are_seen() {
    let mut memory = vec![0u64; 512];
    let heap = over(&mut memory);
    let layout = Layout::new::<[u64; 3]>();
    let block = heap.allocate(layout).expect("room");
    let mut elsewhere = [0u64; 3];
    let mistakes = |address: *mut u8, words: &str| {
        // SAFETY: a mistake on purpose: a debug build panics, a release build leaves it alone.
        let seen =
            catch_unwind(AssertUnwindSafe(|| unsafe { heap.deallocate(NonNull::new(address).expect("not null"), layout) }));
        let text = seen.err().and_then(|panic| panic.downcast_ref::<String>().cloned());
        assert_eq!(text.is_some(), cfg!(debug_assertions), "{words}");
        assert!(text.is_none_or(|text| text.contains(words)), "{words}");
    };
    mistakes(elsewhere.as_mut_ptr().cast(), "not a block");
    mistakes(block.as_ptr().wrapping_add(1), "not a block");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout) };
    mistakes(block.as_ptr(), "double free");
    assert_eq!((heap.stats().misuses, heap.stats().used), (3, 0));
}

#[test]
fn threads_exchange_blocks() {
    let mut memory = vec![0u64; 64 * KIB / 8];
    let heap = over(&mut memory);
    let queue: Mutex<Vec<Passed>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (heap, queue) = (&heap, &queue);
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for _ in 0..if cfg!(miri) { 20 } else { 20_000 } {
                    let size = 16 + rng.below(200);
                    let layout = Layout::from_size_align(size, 8).expect("a layout");
                    if let Some(block) = heap.allocate(layout) {
                        // SAFETY: the block's bytes.
                        unsafe { block.write_bytes(size as u8, size) };
                        queue.lock().unwrap().push(Passed(block, size));
                    }
                    let mut queue = queue.lock().unwrap();
                    let place = rng.below(queue.len().max(1));
                    if queue.len() > 100 {
                        let block = queue.swap_remove(place);
                        drop(queue);
                        free(heap, block);
                    }
                }
            });
        }
    });
    queue.into_inner().unwrap().into_iter().for_each(|block| free(&heap, block));
    assert_eq!((heap.stats().used, heap.stats().misuses), (0, 0));
    assert_eq!(heap.stats().largest_free_run, heap.stats().capacity, "all memory is one run again");
}

/// A block on its way to another thread, and its size.
struct Passed(NonNull<u8>, usize);

// SAFETY: whoever has it owns the block.
unsafe impl Send for Passed {}

fn free(heap: &SmallHeap<FixedRegion>, Passed(block, size): Passed) {
    // SAFETY: a block of this heap that was handed over.
    unsafe {
        assert!(std::slice::from_raw_parts(block.as_ptr(), size).iter().all(|byte| *byte == size as u8));
        heap.deallocate(block, Layout::from_size_align(size, 8).expect("a layout"));
    }
}
