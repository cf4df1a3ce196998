//! Page sources that refuse, that are limited, or that call back: nothing is lost, and the heap works on.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use coreheap::sources::Limited;
use coreheap::{Compact, Geometry, Heap, PageSource, RegionRequest, SingleCore, Tiny, TryFlag};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::blocks::{allocate, free, layout};
use coreheap_tests::cores::ThreadNumber;
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{COMMITS, DECOMMITS, GROWS, OS_PAGES, RELEASES, REMAPS, TestSource};
use coreheap_tests::watched::{Ledger, Watched};

const KIB: usize = 1024;
const SIZE: usize = if cfg!(miri) { 256 * KIB } else { 1024 * KIB };

type OneCore<S, G = Hosted> = Heap<S, SingleCore, G>;

fn heap<S: PageSource, G: Geometry>(source: S) -> OneCore<S, G> {
    Heap::new(source, single_core())
}

#[test]
fn a_region_that_is_too_small_is_released_at_once() {
    let ledger = Ledger::new(SIZE);
    // Whatever the heap asks for at least, the source has it, but nothing behind the tables can be committed.
    let source = TestSource::<{ RELEASES | COMMITS }>::new(&[SIZE]);
    source.refusals().refuse_every(Call::Commit, 1);
    let heap: OneCore<_> = heap(Watched::new(source, &ledger));
    assert_eq!(heap.allocate(layout(1)), None);
    assert!(ledger.refusals().granted(Call::Reserve) > 0);
    assert_eq!(ledger.regions_out(), 0);
}

#[test]
fn a_refused_growth_means_another_region() {
    let source = TestSource::<{ GROWS }>::new(&[SIZE, SIZE]).giving_at_first(200 * KIB);
    source.refusals().refuse_every(Call::Grow, 1);
    let heap: OneCore<_, Compact> = heap(source);
    let blocks: Vec<_> = (0..3).map(|index| allocate(&heap, 90 * KIB, index)).collect();
    assert_eq!(heap.source().regions_out(), 2);
    blocks.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, 90 * KIB, index));
}

#[test]
fn after_a_refusal_everything_is_as_before() {
    fn check<const ABILITIES: u32, G: Geometry>(call: Call) {
        let sizes = if ABILITIES & GROWS == 0 { [SIZE / 2, SIZE] } else { [2 * SIZE, SIZE] };
        let heap: OneCore<_, G> = heap(TestSource::<ABILITIES>::new(&sizes).giving_at_first(SIZE / 4));
        let refusals = heap.source().refusals();
        let live = allocate(&heap, 3000, 1);
        heap.purge();
        heap.purge();
        let free_before = heap.stats().largest_free_run;
        refusals.refuse_every(call, 1);
        let calls = refusals.calls(call);
        let large = heap.allocate(layout(SIZE * 3 / 4));
        let other = heap.allocate(layout(SIZE / 3));
        for block in [(large, SIZE * 3 / 4), (other, SIZE / 3)] {
            if let (Some(block), size) = block {
                // SAFETY: a live block of this size.
                unsafe { heap.deallocate(block, layout(size)) };
            }
        }
        heap.purge();
        assert!(refusals.calls(call) > calls, "{call:?} was not called, so it was not refused");
        heap.assert_valid();
        assert!(heap.stats().largest_free_run >= free_before);
        refusals.refuse_every(call, 0);
        free(&heap, allocate(&heap, SIZE * 3 / 4, 2), SIZE * 3 / 4, 2);
        free(&heap, live, 3000, 1);
        heap.assert_valid();
        assert_eq!(heap.stats().used, 0);
    }
    check::<{ COMMITS | DECOMMITS }, Hosted>(Call::Reserve);
    check::<{ COMMITS | DECOMMITS | RELEASES }, Hosted>(Call::Commit);
    if cfg!(miri) {
        return;
    }
    check::<{ COMMITS | DECOMMITS }, Hosted>(Call::Decommit);
    check::<{ COMMITS | DECOMMITS | OS_PAGES | RELEASES }, Compact>(Call::Commit);
    check::<{ DECOMMITS }, Compact>(Call::Decommit);
    check::<{ COMMITS | GROWS }, Compact>(Call::Grow);
    check::<{ COMMITS | DECOMMITS }, Tiny>(Call::Reserve);
    check::<{ COMMITS | DECOMMITS | RELEASES }, Tiny>(Call::Commit);
}

#[test]
fn a_region_whose_tables_were_not_committed_is_not_lost() {
    // The source cannot take it back, so the heap must try it again.
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS }>::new(&[SIZE]));
    heap.source().refusals().refuse_every(Call::Commit, 1);
    assert_eq!(heap.allocate(layout(1)), None);
    heap.source().refusals().refuse_every(Call::Commit, 0);
    free(&heap, allocate(&heap, 1000, 1), 1000, 1);
}

#[test]
fn a_refused_decommit_is_tried_again() {
    let heap: OneCore<_> = heap(TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]));
    free(&heap, allocate(&heap, 200 * KIB, 1), 200 * KIB, 1);
    heap.source().refusals().refuse_every(Call::Decommit, 1);
    assert_eq!(heap.purge(), 0);
    heap.source().refusals().refuse_every(Call::Decommit, 0);
    assert!(heap.purge() >= 200 * KIB);
}

/// A heap whose source calls back into it.
type Reentered = Heap<TestSource<{ COMMITS | DECOMMITS | GROWS | REMAPS }>, TryFlag<ThreadNumber, 2>, Hosted>;

thread_local! {
    static HELD: RefCell<Vec<(NonNull<u8>, usize)>> = const { RefCell::new(Vec::new()) };
}

static CALLED_BACK: AtomicUsize = AtomicUsize::new(0);

/// What the source does in each of its calls: uses the heap that called it.
fn use_the_heap(context: *const ()) {
    // SAFETY: the heap that `a_source_may_use_the_heap_it_serves` keeps alive.
    let heap = unsafe { &*context.cast::<Reentered>() };
    HELD.with_borrow_mut(|held| {
        for size in [20, 3000, 70 * KIB] {
            if let Some(block) = heap.allocate(layout(size)) {
                // SAFETY: a block of this size.
                unsafe { block.write_bytes(0x66, size) };
                held.push((block, size));
                CALLED_BACK.fetch_add(1, Ordering::Relaxed);
            }
        }
        while held.len() > 20 {
            let (block, size) = held.swap_remove(held.len() / 2);
            free(heap, block, size, 0x66);
        }
    });
}

#[test]
fn a_source_may_use_the_heap_it_serves() {
    let source = TestSource::new(&[SIZE, 2 * SIZE, SIZE / 2]).giving_at_first(SIZE / 4);
    let heap: Box<Reentered> = Box::new(Heap::new(source, TryFlag::new()));
    heap.source().call_inside(use_the_heap, (&raw const *heap).cast());
    let inside = |start, size| heap.source().contains(start, size);
    let mut driver = Driver::new_shared(&*heap, &inside);
    let limits = Limits { size: SIZE / 4, align: 8192, live: 300 };
    driver.run(&mut Rng::new(4), &limits, if cfg!(miri) { 12 } else { 2_000 });
    driver.finish();
    assert!(CALLED_BACK.load(Ordering::Relaxed) > 10, "the source was never called, or never served");
    HELD.take().into_iter().for_each(|(block, size)| free(&heap, block, size, 0x66));
    heap.assert_valid();
    // The check may have called back once more; nothing does now.
    HELD.take().into_iter().for_each(|(block, size)| free(&heap, block, size, 0x66));
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn a_limit_holds() {
    /// A KiB, less under Miri.
    const UNIT: usize = if cfg!(miri) { 64 } else { KIB };
    fn check<const ABILITIES: u32, G: Geometry>() {
        let limit = 700 * UNIT;
        let heap: OneCore<_, G> = heap(Limited::new(TestSource::<ABILITIES>::new(&[512 * UNIT, 341 * UNIT, 1024 * UNIT]), limit));
        let inner = heap.source().source();
        let out = || if ABILITIES & COMMITS != 0 { inner.bytes_committed() } else { heap.stats().reserved };
        let inside = |start, size| inner.contains(start, size);
        let mut driver = Driver::new(&heap, &inside);
        let limits = Limits { size: 100 * UNIT, align: 4096, live: 300 };
        let mut most = 0;
        for seed in 0..if cfg!(miri) { 1 } else { 100 } {
            driver.run(&mut Rng::new(seed), &limits, if cfg!(miri) { 30 } else { 50 });
            most = most.max(out());
            assert!(out() <= heap.source().used() && heap.source().used() <= limit, "{} of {limit} bytes are out", out());
        }
        assert!(most > limit / 3 || cfg!(miri), "the limit was not put to the test: {most}");
        assert!(driver.finish().refused > 0 || cfg!(miri));
    }
    check::<{ COMMITS | DECOMMITS }, Hosted>();
    check::<0, Hosted>();
    if cfg!(miri) {
        return;
    }
    check::<{ COMMITS | DECOMMITS | OS_PAGES }, Hosted>();
    check::<{ COMMITS | DECOMMITS | OS_PAGES }, Compact>();
    check::<{ RELEASES | DECOMMITS }, Compact>();
}

/// Another context that takes all that is left, while a region grows, gets nothing of what the growing one was granted.
#[test]
fn a_limit_holds_while_a_region_grows() {
    type Source = Limited<TestSource<GROWS>>;
    const LIMIT: usize = 100 * KIB;
    fn request(size: usize) -> RegionRequest {
        RegionRequest { min_size: size, preferred_size: size, preferred_align: 1, is_for_one_block: false }
    }
    let source = Source::new(TestSource::new(&[256 * KIB, 256 * KIB]).giving_at_first(32 * KIB), LIMIT);
    let region = source.reserve(request(32 * KIB)).expect("room");
    source.source().call_inside(
        |source| {
            // SAFETY: the source below, which outlives the call.
            let source = unsafe { &*source.cast::<Source>() };
            let left = LIMIT - source.used();
            assert!(source.reserve(request(left + 1)).is_none());
            assert!(left == 0 || source.reserve(request(left)).is_some_and(|region| region.size == left));
        },
        (&raw const source).cast(),
    );
    // SAFETY: the region came from this source.
    let added = unsafe { source.grow(region, 32 * KIB, 64 * KIB) };
    assert_eq!(added, 64 * KIB);
    assert!(source.used() <= LIMIT, "{} of {LIMIT} bytes are out", source.used());
}

/// What no arena could hold even if all of it were free is refused without a look for what could be given back.
#[test]
fn a_hopeless_request_costs_nothing_and_leaves_nothing() {
    fn check<const ABILITIES: u32, G: Geometry>() {
        let heap: OneCore<_, G> = heap(TestSource::<ABILITIES>::new(&[SIZE]));
        let live: Vec<_> = (0..40).map(|index| allocate(&heap, 64, index)).collect();
        // A large block keeps more than half of the memory, and all headers have their use.
        let large = allocate(&heap, SIZE * 5 / 8, 2);
        let many: Vec<_> = (0..if cfg!(miri) || G::MAX_BLOCK > KIB { 0 } else { 62 })
            .map(|index| allocate(&heap, G::MAX_BLOCK + 1, index))
            .collect();
        // What a purge would take.
        free(&heap, allocate(&heap, SIZE / 8, 1), SIZE / 8, 1);
        free(&heap, allocate(&heap, 64, 1), 64, 1);
        let refusals = heap.source().refusals();
        let state = || {
            let stats = heap.stats();
            let in_magazines = stats.classes().map(|class| class.in_magazines).sum::<usize>();
            (stats.metadata, stats.committed, in_magazines, refusals.calls(Call::Decommit))
        };
        let (before, asked) = (state(), refusals.calls(Call::Reserve));
        for size in [SIZE / 2, SIZE, 64 * SIZE, isize::MAX as usize / 2] {
            assert_eq!(heap.allocate(layout(size)), None);
            assert_eq!(state(), before, "{size} bytes were refused");
        }
        let calls = refusals.calls(Call::Reserve);
        assert!(calls <= asked + 8, "for a region that is long enough, and for one that may be");
        // SAFETY: a live block of this size.
        assert_eq!(unsafe { heap.reallocate(large, layout(SIZE * 5 / 8), 8 * SIZE) }, None);
        assert_eq!(state(), before);
        assert!(refusals.calls(Call::Reserve) <= calls + 2, "as for one request, though it moves");
        many.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, G::MAX_BLOCK + 1, index));
        free(&heap, large, SIZE * 5 / 8, 2);
        live.into_iter().zip(0..).for_each(|(block, index)| free(&heap, block, 64, index));
    }
    check::<{ COMMITS | DECOMMITS }, Compact>();
    check::<{ COMMITS | DECOMMITS | OS_PAGES }, Hosted>();
}

#[test]
fn what_is_free_is_decommitted_for_what_needs_it() {
    // Each block fits in the region, and alone under the limit.
    let heap: OneCore<_, Compact> = heap(Limited::new(TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]), SIZE * 5 / 8));
    let first = allocate(&heap, SIZE * 3 / 8, 1);
    let wall = allocate(&heap, 2 * KIB, 2);
    free(&heap, first, SIZE * 3 / 8, 1);
    let second = allocate(&heap, SIZE / 2, 3);
    assert!(heap.source().source().refusals().granted(Call::Decommit) > 0);
    free(&heap, second, SIZE / 2, 3);
    free(&heap, wall, 2 * KIB, 2);
}
