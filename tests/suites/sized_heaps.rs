//! The heaps that keep nothing for a block, for memory in KiB: the action driver over dirty memory of odd starts and lengths, and what is special
//! about them.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use coreheap::port::sync::{AtomicUsize, Ordering};
use coreheap::sources::{FixedRegion, NoPages};
use coreheap::{HeaderlessHeap, OneContext, PageSource, Region, RegionRequest, SmallHeap};
use coreheap_tests::actions::{Counts, Driver, Limits};
use coreheap_tests::blocks::{fill, free_all, holds};
use coreheap_tests::recorded::{Recorded, SizedHeap};
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::seed::each_seed;
use coreheap_tests::sources::TestSource;

const KIB: usize = 1024;

/// Two words.
const GRANULE: usize = 2 * size_of::<usize>();

fn headerless<S: PageSource>(source: S) -> HeaderlessHeap<S, OneContext> {
    HeaderlessHeap::new(source, OneContext::new())
}

#[test]
fn random_actions() {
    random_actions_in("small_heap", SmallHeap::new, SmallHeap::source);
    random_actions_in("headerless_heap", headerless, HeaderlessHeap::source);
}

fn random_actions_in<H: SizedHeap>(name: &str, new: fn(TestSource<0>) -> H, source_of: fn(&H) -> &TestSource<0>) {
    let mut sum = Counts::default();
    each_seed(name, if cfg!(miri) { 3 } else { 60 }, |seed, mut rng| {
        let source = TestSource::<0>::new(&[[37, 4099, 777], [16 * KIB + 1, 1, 300], [900, 901, 902]][seed as usize % 3]);
        source.refusals().refuse_every(Call::Reserve, if seed % 2 == 0 { 0 } else { 3 });
        let heap = new(source);
        let recorded = Recorded::new(&heap);
        let inside = |start, size| source_of(&heap).contains(start, size);
        let mut driver = Driver::new(&recorded, &inside);
        driver.run(&mut rng, &Limits { size: 2000, align: 4096, live: 300 }, if cfg!(miri) { 40 } else { 4000 });
        let counts = driver.finish();
        sum.refused += counts.refused;
        sum.moved += counts.moved;
        sum.resized_in_place += counts.resized_in_place;
    });
    assert!(cfg!(miri) || sum.refused > 0 && sum.moved > 0 && sum.resized_in_place > 0, "{name}: {sum:?}");
}

/// Dirty memory of its own for a heap.
fn over(memory: &mut [u64]) -> FixedRegion {
    memory.fill(0xa5a5_a5a5_a5a5_a5a5);
    // SAFETY: the caller keeps it while the heap is there.
    unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(memory)) }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("the test's own layouts are sensible")
}

#[test]
fn nearly_all_memory_holds_blocks_and_all_of_it_comes_back() {
    fills(SmallHeap::new, 1, 92);
    // It makes 32 bytes of what is shorter, on 64-bit targets.
    fills(headerless, 64, 98);
}

/// `least`: bytes of the smallest blocks; `percent`: how much of 4 KiB and more is for blocks.
fn fills<H: SizedHeap>(new: fn(FixedRegion) -> H, least: usize, percent: usize) {
    let regions: &[usize] = if cfg!(miri) { &[1, 4] } else { &[1, 4, 8, 16, 64] };
    for &kib in regions {
        let mut memory = vec![0u64; kib * KIB / 8];
        let heap = new(over(&mut memory));
        let mut rng = Rng::new(kib as u64);
        let whole = {
            let probe = heap.allocate(Layout::new::<u8>()).expect("room");
            // SAFETY: a block of this heap.
            unsafe { heap.deallocate(probe, Layout::new::<u8>()) };
            heap.stats().largest_free_run
        };
        assert!(whole * 100 >= kib * KIB * if kib == 1 { 75 } else { percent }, "{whole} of {kib} KiB are for blocks");
        for _ in 0..if cfg!(miri) { 1 } else { 20 } {
            let blocks = fill(&heap, || layout(least + rng.below(kib * if cfg!(miri) { 64 } else { 16 }), 1 << rng.below(4)));
            let bytes: usize = blocks.iter().map(|(_, layout)| layout.size()).sum();
            heap.assert_valid();
            assert!(bytes * 10 >= whole * if kib == 1 { 6 } else { 8 }, "{bytes} of {whole} bytes");
            // SAFETY: blocks of this heap.
            unsafe { free_all(&heap, &mut rng, blocks) };
            heap.assert_valid();
            assert_eq!((heap.stats().used, heap.stats().largest_free_run), (0, whole));
        }
        let all = layout(whole, 8);
        let block = heap.allocate_zeroed(all).expect("all of it as one block");
        // SAFETY: the block's bytes, of a block of this heap.
        unsafe {
            assert!(holds(block, whole, 0));
            let shrunk = heap.reallocate(block, all, 24).expect("it shrinks");
            assert_eq!((shrunk, heap.stats().used), (block, H::len_for(24)));
            assert_eq!(heap.reallocate(shrunk, layout(24, 8), whole), Some(block), "it grows");
            assert_eq!(heap.reallocate(block, all, whole + 1), None);
            heap.deallocate(block, all);
        }
        assert_eq!((heap.stats().used, heap.stats().largest_free_run), (0, whole));
    }
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(SmallHeap::new);
    refuses(headerless);
    assert_eq!(SmallHeap::new(NoPages).allocate(Layout::new::<u8>()), None);
    assert_eq!(headerless(NoPages).allocate(Layout::new::<u8>()), None);
}

fn refuses<H: SizedHeap>(new: fn(FixedRegion) -> H) {
    let mut memory = vec![0u64; 512];
    let heap = new(over(&mut memory));
    for (size, align) in [(4096, 8), (isize::MAX as usize - 15, 16), (1, 1 << (usize::BITS - 2))] {
        assert_eq!(heap.allocate(layout(size, align)), None, "{size} at {align}");
    }
    assert_eq!(heap.stats().used, 0);
    let empty = heap.allocate(layout(0, 64)).expect("size 0 has an address of its own");
    assert!(empty.addr().get().is_multiple_of(64));
    let mut tiny = [0u64; 2];
    assert_eq!(new(over(&mut tiny)).allocate(Layout::new::<u8>()), None, "too small for its books");
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
    see_mistakes(SmallHeap::new, 24);
    // Longer than what becomes ready.
    see_mistakes(SmallHeap::new, 1000);
    see_mistakes(headerless, 1000);
}

fn see_mistakes<H: SizedHeap>(new: fn(FixedRegion) -> H, size: usize) {
    let mut memory = vec![0u64; 512];
    let heap = new(over(&mut memory));
    let layout = layout(size, 8);
    let blocks = [(); 2].map(|()| heap.allocate(layout).expect("room"));
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
    mistakes(blocks[0].as_ptr().wrapping_add(1), "not a block");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(blocks[0], layout) };
    mistakes(blocks[0].as_ptr(), "double free");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(blocks[1], layout) };
    // A block that is ready twice is seen when it goes home.
    assert_eq!((heap.stats().misuses, heap.stats().used), (3, 0));
    heap.assert_valid();
}

#[test]
fn a_ready_block_that_is_freed_again_is_seen_in_debug_builds() {
    let mut memory = vec![0u64; 512];
    let heap = headerless(over(&mut memory));
    let block = heap.allocate(Layout::new::<u64>()).expect("room");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, Layout::new::<u64>()) };
    if cfg!(debug_assertions) {
        // SAFETY: mistakes on purpose.
        unsafe {
            assert!(catch_unwind(AssertUnwindSafe(|| heap.deallocate(block, Layout::new::<u64>()))).is_err());
            // Also of the same length, which has nothing to do.
            for size in [8, 300] {
                assert!(catch_unwind(AssertUnwindSafe(|| heap.reallocate(block, Layout::new::<u64>(), size))).is_err());
            }
        }
    }
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn blocks_are_ready_while_half_of_the_memory_is_free() {
    let mut memory = vec![0u64; KIB];
    let heap = headerless(over(&mut memory));
    let layouts = [layout(100, 8), layout(5000, 8)];
    let [small, big] = layouts.map(|layout| heap.allocate(layout).expect("room"));
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(small, layouts[0]);
        let again = heap.allocate(layouts[0]).expect("room");
        heap.deallocate(big, layouts[1]);
        heap.deallocate(again, layouts[0]);
    }
    let ready = heap.allocate(layouts[0]).expect("room");
    let next = heap.allocate(layouts[0]).expect("room");
    assert_eq!(ready, small, "it was ready");
    assert_ne!(next, small);
}

#[test]
fn a_small_block_moves_to_where_it_fits_and_stays_where_nothing_else_is() {
    let mut memory = vec![0u64; KIB];
    let heap = headerless(over(&mut memory));
    let sizes = [40 * GRANULE, 2 * GRANULE, 50 * GRANULE, 2 * GRANULE].map(|size| layout(size, 8));
    let blocks = sizes.map(|layout| heap.allocate(layout).expect("room"));
    // SAFETY: blocks of this heap.
    unsafe {
        blocks[2].write_bytes(7, sizes[2].size());
        heap.deallocate(blocks[0], sizes[0]);
        let moved = heap.reallocate(blocks[2], sizes[2], 40 * GRANULE).expect("it shrinks");
        assert_eq!(moved, blocks[0], "it fits there");
        let rest = heap.stats().largest_free_run;
        let filler = heap.allocate(layout(rest, 8)).expect("the longest run");
        while heap.allocate(layout(1, 1)).is_some() {}
        let shrunk = heap.reallocate(moved, sizes[0], 39 * GRANULE).expect("a block that shrinks always can");
        assert_eq!(shrunk, moved, "there is no other place");
        assert!(holds(shrunk, 39 * GRANULE, 7));
        heap.assert_valid();
        assert_eq!(heap.stats().largest_free_run, GRANULE, "too short for links");
        heap.deallocate(shrunk, layout(39 * GRANULE, 8));
        assert_eq!(heap.stats().largest_free_run, 40 * GRANULE, "its neighbours find it");
        heap.deallocate(filler, layout(rest, 8));
    }
    heap.assert_valid();
}

#[test]
fn a_small_block_that_does_not_fit_elsewhere_is_resized_before_memory_is_asked_for() {
    let source = TestSource::<0>::new(&[4 * KIB, 6 * KIB]);
    let heap = headerless(source);
    let whole = layout(3 * KIB, 8);
    let block = heap.allocate(whole).expect("room");
    // SAFETY: a block of this heap.
    unsafe {
        assert_eq!(heap.reallocate(block, whole, 2 * KIB), Some(block), "it shrinks");
        assert_eq!(heap.reallocate(block, layout(2 * KIB, 8), 3 * KIB), Some(block), "it grows");
        assert_eq!(heap.source().regions_out(), 1);
        assert_ne!(heap.reallocate(block, whole, 5 * KIB), Some(block), "it moves");
        assert_eq!(heap.source().regions_out(), 2);
    }
}

#[test]
#[cfg_attr(miri, ignore = "it finds pointers by address alone")]
fn a_source_that_gives_no_byte_too_many_is_asked_once() {
    /// Regions of just the size that is asked for.
    struct Exact(AtomicUsize);

    // SAFETY: fresh memory, for good.
    unsafe impl PageSource for Exact {
        fn reserve(&self, request: RegionRequest) -> Option<Region> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let start = NonNull::from(vec![0u8; request.min_size].leak()).cast();
            Some(Region { start, size: request.min_size })
        }
    }

    for size in [1, 4000, 500_000, 8 << 20, 40 << 20] {
        let heap = headerless(Exact(AtomicUsize::new(0)));
        for align in [1, 64, 4096] {
            assert!(heap.allocate(layout(size, align)).is_some(), "{size} at {align}");
        }
        assert!(heap.source().0.load(Ordering::Relaxed) <= 3);
        if cfg!(target_pointer_width = "32") {
            assert_eq!(heap.allocate(layout(130 << 20, 8)), None, "longer than a run can be");
            assert!(heap.source().0.load(Ordering::Relaxed) <= 3);
        }
    }
}

#[test]
fn what_was_aligned_can_be_had_again() {
    let mut memory = vec![0u64; KIB];
    let heap = headerless(over(&mut memory));
    let aligned = layout(40 * GRANULE, 32 * GRANULE);
    let block = heap.allocate(aligned).expect("room");
    for size in [1000, 100, 1] {
        while heap.allocate(layout(size, 1)).is_some() {}
    }
    for _ in 0..3 {
        // SAFETY: a block of this heap.
        unsafe { heap.deallocate(block, aligned) };
        assert_eq!(heap.allocate(aligned), Some(block), "nothing else is free");
    }
}

#[test]
fn no_block_is_ready_where_memory_is_short() {
    let mut memory = vec![0u64; KIB];
    let heap = headerless(over(&mut memory));
    let small = layout(4 * GRANULE, 8);
    let blocks = [(); 3].map(|()| heap.allocate(small).expect("room"));
    let rest = layout(heap.stats().largest_free_run, 8);
    heap.allocate(rest).expect("the rest, to the last byte");
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(blocks[0], small);
        heap.deallocate(blocks[1], small);
    }
    let both = layout(2 * small.size(), 8);
    assert_eq!(heap.allocate(both), Some(blocks[0].min(blocks[1])), "they are one run at once");
}

#[test]
fn threads_exchange_blocks() {
    let mut memory = vec![0u64; 64 * KIB / 8];
    let heap = SmallHeap::new(over(&mut memory));
    // One thread makes the heap's only chunk; several might leave another one in front of it.
    let first = heap.allocate(layout(16, 8)).expect("room");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(first, layout(16, 8)) };
    let queue: Mutex<Vec<Passed>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (heap, queue) = (&heap, &queue);
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for _ in 0..if cfg!(miri) { 12 } else { 20_000 } {
                    let size = 16 + rng.below(200);
                    let layout = Layout::from_size_align(size, 8).expect("a layout");
                    if let Some(block) = heap.allocate(layout) {
                        // SAFETY: the block's bytes.
                        unsafe { block.write_bytes(size as u8, size) };
                        queue.lock().unwrap().push(Passed(block, size));
                    }
                    let mut queue = queue.lock().unwrap();
                    let place = rng.below(queue.len().max(1));
                    if queue.len() > if cfg!(miri) { 4 } else { 100 } {
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
        assert!(holds(block, size, size as u8));
        heap.deallocate(block, Layout::from_size_align(size, 8).expect("a layout"));
    }
}
