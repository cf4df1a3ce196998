//! The conformance suite: what every heap must do, whatever its page source. A port calls it with its own source:
//!
//! ```
//! use coreheap_tests::{conformance::conformance, sources::TestSource};
//!
//! conformance(|| TestSource::<0>::new(&[8 << 20]));
//! ```
//!
//! Each test gets a source of its own from `make`. What a source states about itself ([`PageSource`]'s constants) is checked as
//! well: that it is true, and that the heap makes use of it.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use coreheap::port::CoreHeap;
use coreheap::{Compact, CoreLocal, Geometry, Heap, PageSource, Server, SingleCore, Tiny};

use crate::actions::{Driver, Limits};
use crate::blocks::holds;
use crate::refusals::Call;
use crate::rng::Rng;
use crate::watched::{Ledger, Watched};

/// Most bytes that a test takes from a source without an end.
const BUDGET: usize = if cfg!(miri) { 32 << 10 } else { 32 << 20 };

/// The suite for a source, with every geometry (under Miri the smallest, so that it takes seconds, not minutes), and one core.
pub fn conformance<S: PageSource>(make: impl Fn() -> S) {
    // SAFETY: each heap is used by the one thread that runs its test.
    let cores = || unsafe { SingleCore::new() };
    conformance_with::<S, SingleCore, Tiny>(&make, cores);
    if !cfg!(miri) {
        conformance_with::<S, SingleCore, Compact>(&make, cores);
        conformance_with::<S, SingleCore, Server>(&make, cores);
    }
}

/// The suite for a source, a way of being alone on magazines, and a geometry. The source must be able to give some dozens of
/// slices.
pub fn conformance_with<S: PageSource, C: CoreLocal, G: Geometry>(make: impl Fn() -> S, cores: impl Fn() -> C) {
    let tests: [Test<S, C, G>; 9] = [
        blocks_are_aligned_and_apart,
        zeroed_blocks_are_zero,
        contents_survive_reallocation,
        sizes_that_cannot_be_are_refused,
        a_heap_runs_dry_and_recovers,
        all_memory_comes_back_as_one,
        random_actions,
        memory_is_decommitted_and_comes_back,
        large_blocks_that_move_keep_their_contents,
    ];
    for test in tests {
        let ledger = Ledger::new(BUDGET);
        let heap = Heap::new(Watched::new(make(), &ledger), cores());
        test(&heap);
        heap.assert_valid();
        assert_eq!(heap.stats().used, 0, "every block was freed");
        if S::COMMITS && ledger.refusals().granted(Call::Reserve) > 0 {
            assert!(ledger.refusals().calls(Call::Commit) > 0, "the source commits, and the heap never asked it to");
        }
        drop(heap);
        if S::RELEASES {
            assert_eq!(ledger.regions_out(), 0, "the source releases, and the heap kept regions");
        }
    }
}

/// A heap under test.
type Watching<'a, S, C, G> = Heap<Watched<'a, S>, C, G>;

/// A test of a fresh heap.
type Test<S, C, G> = fn(&Watching<'_, S, C, G>);

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("the suite's own layouts are sensible")
}

/// Frees blocks in an order that is neither theirs nor the reverse.
fn free_all<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>, mut blocks: Vec<(NonNull<u8>, Layout)>) {
    let mut rng = Rng::new(blocks.len() as u64);
    while !blocks.is_empty() {
        let (block, layout) = blocks.swap_remove(rng.below(blocks.len()));
        // SAFETY: allocated with this layout, and forgotten now.
        unsafe { heap.deallocate(block, layout) };
    }
}

fn blocks_are_aligned_and_apart<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let first = heap.allocate(layout(1, 1)).expect("a source that cannot give memory for one block is of no use");
    let mut blocks = alloc::vec![(first, layout(1, 1))];
    let mut ends = Vec::new();
    for align in (0..13).step_by(if cfg!(miri) { 4 } else { 1 }).map(|shift| 1 << shift) {
        let sizes = [0, align + 1, G::MAX_BLOCK + 1, 1, align / 2 + 1, align, 3 * align, G::MAX_BLOCK];
        for size in sizes.into_iter().take(if cfg!(miri) { 3 } else { 8 }) {
            let Some(block) = heap.allocate(layout(size, align)) else { continue };
            assert_eq!(block.addr().get() % align, 0, "{size} bytes at {align}");
            let usable = heap.usable_size(block.as_ptr()).expect("a live block");
            assert!(usable >= size.max(1));
            // SAFETY: the block's usable bytes.
            unsafe { block.write_bytes(0x5a, usable) };
            ends.push((block.addr().get(), block.addr().get() + (usable - 1)));
            blocks.push((block, layout(size, align)));
        }
    }
    ends.sort_unstable();
    assert!(ends.is_sorted_by(|(_, last), (start, _)| last < start), "blocks overlap");
    free_all(heap, blocks);
}

fn zeroed_blocks_are_zero<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let sizes = [1, 24, 100, G::MAX_BLOCK, G::MAX_BLOCK + 1, 5 * G::SLICE_SIZE + 3, 3 * G::MAX_BLOCK];
    // What the first round leaves dirty, the others must not show; before the third it was given back.
    for round in 0..3 {
        let mut blocks = Vec::new();
        for size in sizes {
            let Some(block) = heap.allocate_zeroed(layout(size, 8)) else { continue };
            // SAFETY: the block's bytes, which the heap says are zero.
            unsafe {
                assert!(holds(block, size, 0), "{size} bytes in round {round}");
                block.write_bytes(0xff, size);
            }
            blocks.push((block, layout(size, 8)));
        }
        assert!(!blocks.is_empty());
        free_all(heap, blocks);
        if round == 1 {
            heap.purge();
        }
    }
}

/// Positions below `size` that have a pattern: all of the first, then a few.
fn marked(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(if cfg!(miri) { 16 } else { 256 })).chain((256..size).step_by(if cfg!(miri) { 977 } else { 7 }))
}

fn contents_survive_reallocation<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    const GROWTH: usize = if cfg!(miri) { 7 } else { 3 };
    let pattern = |at: usize| (at * 7 % 251) as u8;
    let mut sizes: Vec<usize> =
        core::iter::successors(Some(1), |size| Some(size * GROWTH / 2 + 1)).take_while(|size| *size < 4 * G::MAX_BLOCK).collect();
    sizes.extend(sizes.clone().iter().rev().skip(1));
    let mut current = layout(1, 1);
    let mut block = heap.allocate(current).expect("one byte");
    // SAFETY: one byte was allocated.
    unsafe { block.write(pattern(0)) };
    let mut neighbours = Vec::new();
    for size in sizes {
        // SAFETY: the block is live and of this layout.
        let Some(moved) = (unsafe { heap.reallocate(block, current, size) }) else { continue };
        let kept = size.min(current.size());
        // SAFETY: as long as the old and the new size are.
        unsafe {
            marked(kept).for_each(|at| assert_eq!(moved.add(at).read(), pattern(at), "byte {at} of {size}"));
            marked(size).filter(|at| *at >= kept).for_each(|at| moved.add(at).write(pattern(at)));
        }
        (block, current) = (moved, layout(size, 1));
        // Now and then something lies behind it.
        if neighbours.len() < size % 5 {
            let beside = layout(G::SLICE_SIZE + 1, 1);
            neighbours.extend(heap.allocate(beside).map(|block| (block, beside)));
        }
    }
    // SAFETY: the block is live and of this layout.
    unsafe { heap.deallocate(block, current) };
    free_all(heap, neighbours);
}

fn sizes_that_cannot_be_are_refused<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    // With 32 bits there may be an address at a multiple of a quarter of them all.
    let far = if usize::BITS == 64 { (1, 1 << (usize::BITS - 2)) } else { (isize::MAX as usize - 8, 8) };
    for (size, align) in [(isize::MAX as usize, 1), (isize::MAX as usize - 4095, 4096), far] {
        assert_eq!(heap.allocate(layout(size, align)), None);
        assert_eq!(heap.allocate_zeroed(layout(size, align)), None);
    }
    let block = heap.allocate(layout(100, 4)).expect("a heap that refused works on");
    // SAFETY: the block is live and of this layout.
    unsafe {
        block.write_bytes(0x77, 100);
        for size in [isize::MAX as usize - 3, usize::MAX] {
            assert_eq!(heap.reallocate(block, layout(100, 4), size), None);
        }
        assert!((0..100).all(|at| block.add(at).read() == 0x77), "a refused reallocation leaves the block as it was");
        heap.deallocate(block, layout(100, 4));
        heap.deallocate_unsized(core::ptr::null_mut());
    }
    assert_eq!(heap.usable_size(core::ptr::null()), None);
}

/// Allocates until nothing can be had any more: big blocks first, then the half of that, down to the smallest.
fn run_dry<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) -> Vec<(NonNull<u8>, Layout)> {
    let mut blocks = Vec::new();
    let mut size = BUDGET / 2;
    while size >= 8 {
        match heap.allocate(layout(size, 8)) {
            Some(block) => {
                // SAFETY: the first and the last byte of the block.
                unsafe {
                    block.write(1);
                    block.add(size - 1).write(2);
                }
                blocks.push((block, layout(size, 8)));
            }
            None => size /= if cfg!(miri) && size >= 64 { 8 } else { 2 },
        }
    }
    blocks
}

/// Makes the heap make what it keeps for good: core heaps for all cores, page headers.
fn warm_up<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let layouts = (0..if cfg!(miri) { 20 } else { 200 }).map(|index| layout(8 + index % 16 * 8, 8));
    free_all(heap, layouts.filter_map(|layout| Some((heap.allocate(layout)?, layout))).collect());
}

fn a_heap_runs_dry_and_recovers<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    if cfg!(miri) && G::HAS_MAGAZINES {
        // Minutes of looking through magazines; the suite `exhaustion` does it in small.
        return;
    }
    warm_up(heap);
    let blocks = run_dry(heap);
    assert_eq!(heap.allocate(layout(1, 1)), None, "the heap is exhausted");
    let used = heap.stats().used;
    assert_eq!(used, blocks.iter().map(|(block, _)| heap.usable_size(block.as_ptr()).expect("live")).sum());
    // Whatever is freed can be had again.
    for (index, (block, layout)) in blocks.iter().enumerate().step_by(blocks.len().div_ceil(if cfg!(miri) { 4 } else { 50 })) {
        // SAFETY: the block is live and of this layout; allocated again at once.
        unsafe { heap.deallocate(*block, *layout) };
        let again = heap.allocate(*layout);
        assert!(again.is_some(), "block {index} of {layout:?} was freed and cannot be allocated again");
        assert_eq!(again, Some(*block), "there is only one place for it");
    }
    assert_eq!(heap.stats().used, used);
    free_all(heap, blocks);
}

/// The biggest block that can be had at all, in bytes.
fn biggest_block<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) -> usize {
    let (mut can, mut cannot) = (0, BUDGET / G::SLICE_SIZE + 1);
    while can + 1 < cannot {
        let middle = (can + cannot) / 2;
        let wanted = layout(middle * G::SLICE_SIZE, 1);
        match heap.allocate(wanted) {
            Some(block) => {
                // SAFETY: the block is live and of this layout.
                unsafe { heap.deallocate(block, wanted) };
                can = middle;
            }
            None => cannot = middle,
        }
        heap.purge();
    }
    can * G::SLICE_SIZE
}

fn all_memory_comes_back_as_one<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    if cfg!(miri) && G::HAS_MAGAZINES {
        // Minutes of looking through magazines; the suite `exhaustion` does it in small.
        return;
    }
    free_all(heap, run_dry(heap));
    heap.purge();
    let (biggest, reserved) = (biggest_block(heap), heap.stats().reserved);
    assert!(biggest > 0 && biggest < reserved);
    for _ in 0..if cfg!(miri) { 1 } else { 3 } {
        let (biggest, before) = (biggest_block(heap), heap.stats());
        let free = before.largest_free_run;
        assert!(biggest == free || S::COMMITS && biggest < free, "{biggest} bytes of {free} free ones are the biggest block");
        // Small blocks everywhere leave no trace. But page headers stay, if there never were so many pages before, and the core heaps of cores
        // that came when memory was out: made when memory is nearly full, they lie where there is room.
        free_all(heap, run_dry(heap));
        heap.purge();
        let after = heap.stats();
        let metadata = after.metadata - before.metadata;
        let least = |bytes: usize| if metadata == 0 { bytes } else { bytes / 3 * 2 };
        assert!(biggest_block(heap) >= least(biggest), "everything was freed, {metadata} bytes became metadata");
        assert!(after.largest_free_run >= least(free) && after.reserved == reserved);
        let core_heaps = heap.cores().core_count() * size_of::<CoreHeap<G>>().next_multiple_of(G::SLICE_SIZE);
        assert!(metadata <= reserved / 64 + core_heaps, "{metadata} bytes became metadata");
    }
}

fn random_actions<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let limits = Limits { size: 4 * G::MAX_BLOCK, align: 4 * G::SLICE_SIZE, live: 300 };
    for seed in 0..if cfg!(miri) { 1 } else { 10 } {
        let mut driver = Driver::new(heap, &|_, _| true);
        driver.run(&mut Rng::new(seed), &limits, if cfg!(miri) { 20 } else { 2000 });
        assert!(driver.finish().allocated > 0);
    }
}

fn memory_is_decommitted_and_comes_back<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let unit = G::SLICE_SIZE.max(S::OS_PAGE_SIZE);
    let size = (4 * unit).max(G::MAX_BLOCK + 1);
    let Some(block) = heap.allocate(layout(size, unit)) else { return };
    // SAFETY: the block is live and of this layout; not used after the free.
    unsafe {
        block.write_bytes(0xee, size);
        heap.deallocate(block, layout(size, unit));
    }
    let committed = heap.stats().committed;
    let purged = heap.purge();
    let counted = heap.source().ledger().bytes_decommitted();
    assert_eq!(purged, counted, "what a purge says and what the source heard");
    if S::DECOMMITS {
        assert!(purged >= size / unit * unit, "the source decommits, and the heap kept {size} free bytes");
        assert_eq!(heap.stats().committed, committed - purged);
    }
    let Some(block) = heap.allocate_zeroed(layout(size, unit)) else { return };
    // SAFETY: the block is live and of this layout, and zeroed.
    unsafe {
        assert!(holds(block, size, 0), "what was decommitted comes back as it was said to");
        heap.deallocate(block, layout(size, unit));
    }
}

fn large_blocks_that_move_keep_their_contents<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Watching<'_, S, C, G>) {
    let unit = G::SLICE_SIZE.max(S::OS_PAGE_SIZE);
    let size = (2 * G::MAX_BLOCK).next_multiple_of(unit);
    let old = layout(size, 8);
    let (Some(block), Some(wall)) = (heap.allocate(old), heap.allocate(old)) else { return };
    // SAFETY: blocks of these layouts; `block` is not used after it was reallocated.
    unsafe {
        (0..size / 64).for_each(|part| block.add(part * 64).write_bytes(part as u8, 64));
        if let Some(moved) = heap.reallocate(block, old, 2 * size) {
            assert!((0..size / 64).all(|part| holds(moved.add(part * 64), 64, part as u8)));
            heap.deallocate(moved, layout(2 * size, 8));
        } else {
            heap.deallocate(block, old);
        }
        heap.deallocate(wall, old);
    }
}
