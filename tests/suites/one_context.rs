//! What heaps for one context at a time promise: they call nobody else's code while they are in use, whoever waits for them does not wait long, they
//! ask a source seldom, and serve a first request as a later one.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use coreheap::sources::FixedRegion;
use coreheap::{DenseHeap, Exclusion, HeaderlessHeap, OneContext, PageSource, Region, RegionRequest, SmallHeap};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::blocks::holds;
use coreheap_tests::recorded::Recorded;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{DISCARDS, OS_PAGES, TestSource};
use coreheap_tests::subject::Subject;

const KIB: usize = 1024;

/// Classes of ready blocks, in heaps that have such.
const READY: usize = 16;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("the test's own layouts are sensible")
}

type Source = TestSource<{ DISCARDS | OS_PAGES }>;

thread_local! {
    static HELD: RefCell<Vec<(NonNull<u8>, usize)>> = const { RefCell::new(Vec::new()) };
    static CALLED_BACK: Cell<usize> = const { Cell::new(0) };
}

/// What the source does in each of its calls. `OneContext` panics if the heap is in use.
fn use_the_heap<H: Subject>(heap: *const ()) {
    // SAFETY: the heap that `source_uses_heap` keeps alive.
    let heap = unsafe { &*heap.cast::<H>() };
    CALLED_BACK.set(CALLED_BACK.get() + 1);
    HELD.with_borrow_mut(|held| {
        for size in [20, 700, 9 * KIB] {
            if let Some(block) = heap.allocate(layout(size, 8)) {
                // SAFETY: a block of this size.
                unsafe { block.write_bytes(0x66, size) };
                held.push((block, size));
            }
        }
        while held.len() > 12 {
            let place = held.len() / 2;
            free(heap, held.swap_remove(place));
        }
    });
}

fn free(heap: &impl Subject, (block, size): (NonNull<u8>, usize)) {
    // SAFETY: a block of this heap, of this size, with what `use_the_heap` wrote.
    unsafe {
        assert!(holds(block, size, 0x66));
        heap.deallocate(block, layout(size, 8));
    }
}

fn source_uses_heap<H: Subject>(heap: &H, source: &Source) {
    source.call_inside(use_the_heap::<H>, (&raw const *heap).cast());
    CALLED_BACK.set(0);
    let inside = |start, size| source.contains(start, size);
    let mut driver = Driver::new_shared(heap, &inside);
    driver.run(&mut Rng::new(7), &Limits { size: 30 * KIB, align: 64, live: 60 }, if cfg!(miri) { 40 } else { 5000 });
    driver.finish();
    assert!(CALLED_BACK.get() >= if cfg!(miri) { 1 } else { 3 }, "the source was not called");
    HELD.take().into_iter().for_each(|held| free(heap, held));
    // The check may have called back once more; nothing does now.
    heap.assert_valid();
    HELD.take().into_iter().for_each(|held| free(heap, held));
    assert_eq!(heap.used(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_source_may_use_the_heap_it_serves() {
    const SIZES: [usize; 6] = [33 * KIB, 40 * KIB, 64 * KIB, 70 * KIB, 128 * KIB, 512 * KIB];
    fn dense<const READY: usize>() {
        let heap = DenseHeap::<Source, _, READY>::new(Source::new(&SIZES), OneContext::new());
        source_uses_heap(&heap, heap.source());
        assert!(heap.source().refusals().granted(Call::Discard) > 0 || cfg!(miri), "nothing was discarded");
    }
    dense::<0>();
    dense::<READY>();
    let heap = HeaderlessHeap::new(Source::new(&SIZES), OneContext::new());
    source_uses_heap(&Recorded::new(&heap), heap.source());
    let heap = SmallHeap::new(Source::new(&SIZES));
    source_uses_heap(&Recorded::new(&heap), heap.source());
}

#[test]
fn a_call_that_comes_between_leaves_memory_for_the_first() {
    /// Allocates in the middle of the first call, which takes the only region.
    fn interrupt<H: Subject>(heap: *const ()) {
        // SAFETY: the heap that `check` keeps alive.
        let block = unsafe { &*heap.cast::<H>() }.allocate(layout(100, 8));
        HELD.with_borrow_mut(|held| held.extend(block.map(|block| (block, 100))));
    }
    fn check<H: Subject>(heap: &H, source: &Source) {
        source.call_inside(interrupt::<H>, (&raw const *heap).cast());
        assert!(heap.allocate(layout(200, 8)).is_some(), "another context has got memory meanwhile");
        assert!(!HELD.take().is_empty(), "the other got none");
    }
    let heap = DenseHeap::<_, _, READY>::new(Source::new(&[32 * KIB]), OneContext::new());
    check(&heap, heap.source());
    let heap = HeaderlessHeap::new(Source::new(&[32 * KIB]), OneContext::new());
    check(&Recorded::new(&heap), heap.source());
    let heap = SmallHeap::new(Source::new(&[32 * KIB]));
    check(&Recorded::new(&heap), heap.source());
}

/// One memory, of which each region is as long as is preferred, but for an odd number of bytes.
struct Preferred {
    memory: *mut u8,
    size: usize,
    given: AtomicUsize,
    calls: AtomicUsize,
}

impl Preferred {
    fn over(memory: &mut [u128]) -> Self {
        let (given, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Preferred { memory: memory.as_mut_ptr().cast(), size: size_of_val(memory), given, calls }
    }
}

// SAFETY: one thread has it.
unsafe impl Sync for Preferred {}

// SAFETY: each byte goes out once.
unsafe impl PageSource for Preferred {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.calls.fetch_add(1, Relaxed);
        let start = self.given.fetch_add(request.preferred_size + 3, Relaxed);
        assert!(start + request.preferred_size <= self.size, "more than there is");
        // SAFETY: inside the memory.
        Some(Region { start: NonNull::new(unsafe { self.memory.add(start) })?, size: request.preferred_size })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.with_addr(address)
    }
}

#[test]
fn a_source_that_gives_what_is_preferred_is_asked_seldom() {
    let blocks = if cfg!(miri) { 120 } else { 16_000 };
    let mut memory = vec![0u128; blocks * 12];
    let most = 12 + 5 * blocks.ilog2() as usize;
    let ask = |name: &str, allocate: &dyn Fn(Layout) -> bool, source: &Preferred| {
        assert!((0..blocks).all(|_| allocate(layout(64, 8))), "{name}");
        let calls = source.calls.load(Relaxed);
        assert!(calls <= most, "{name}: {calls} regions for {blocks} blocks");
        let bytes = source.given.load(Relaxed);
        assert!(bytes < blocks * 64 * 2, "{name}: {bytes} bytes for {blocks} blocks of 64");
    };
    let heap = SmallHeap::new(Preferred::over(&mut memory));
    ask("SmallHeap", &|layout| heap.allocate(layout).is_some(), heap.source());
    let heap = HeaderlessHeap::new(Preferred::over(&mut memory), OneContext::new());
    ask("HeaderlessHeap", &|layout| heap.allocate(layout).is_some(), heap.source());
    let heap = DenseHeap::<_, _, READY>::new(Preferred::over(&mut memory), OneContext::new());
    ask("DenseHeap", &|layout| heap.allocate(layout).is_some(), heap.source());
}

/// The `size` bytes from byte `start` of a memory on, which the caller keeps.
fn part(memory: *mut u128, start: usize, size: usize) -> FixedRegion {
    // SAFETY: inside the memory.
    unsafe { FixedRegion::over(memory.cast::<u8>().add(start), size) }
}

/// A request for `layout`, as the first of a new heap, and as the second after one that was given back.
fn first_and_later(
    allocate: impl Fn(Layout) -> Option<NonNull<u8>>,
    later: (impl Fn(Layout) -> Option<NonNull<u8>>, impl Fn(NonNull<u8>, Layout)),
    wanted: Layout,
) -> (bool, bool) {
    let first = allocate(wanted).is_some();
    let small = Layout::new::<u8>();
    if let Some(block) = later.0(small) {
        later.1(block, small);
    }
    (first, later.0(wanted).is_some())
}

#[test]
fn a_first_request_for_nearly_all_is_served_as_a_later_one() {
    let mut memory = vec![0u128; 300];
    let memory = memory.as_mut_ptr();
    let (mut served, mut refused) = (0, 0);
    let (starts, step) = if cfg!(miri) { (13..14, 43) } else { (0..20, 1) };
    for (region, align) in [(200, 8), (1500, 8), (4200, 8), (4200, 1024)] {
        for start in starts.clone() {
            for less in (0..130).step_by(step) {
                let wanted = layout(region - less - if align > 8 { 2000 } else { 0 }, align);
                let new = DenseHeap::<_, _, 0>::new(part(memory, start, region), OneContext::new());
                let later = DenseHeap::<_, _, 0>::new(part(memory, start, region), OneContext::new());
                // SAFETY: blocks of this heap.
                let free = |block, layout| unsafe { later.deallocate(block, layout) };
                // The second heap begins anew in the memory, when the first has done its work.
                let (first, second) =
                    first_and_later(|layout| new.allocate(layout), (|layout| later.allocate(layout), free), wanted);
                assert_eq!(first, second, "DenseHeap: {wanted:?} of {region} bytes at {start}");
                let new = HeaderlessHeap::new(part(memory, start, region), OneContext::new());
                let later = HeaderlessHeap::new(part(memory, start, region), OneContext::new());
                // SAFETY: blocks of this heap.
                let free = |block, layout| unsafe { later.deallocate(block, layout) };
                let (first, second) =
                    first_and_later(|layout| new.allocate(layout), (|layout| later.allocate(layout), free), wanted);
                assert_eq!(first, second, "HeaderlessHeap: {wanted:?} of {region} bytes at {start}");
                served += usize::from(first);
                refused += usize::from(!first);
            }
        }
    }
    assert!(served > 0 && refused > 0, "{served} and {refused}");
}

#[test]
fn an_aligned_block_that_was_freed_can_be_had_again() {
    let mut memory = vec![0u128; 4 * KIB];
    let memory = memory.as_mut_ptr();
    for (size, align) in [(4096, 4096), (64, 64), (1000, 256), (1, 1024)] {
        let wanted = layout(size, align);
        check(DenseHeap::<_, _, 0>::new(part(memory, 24, 50 * KIB), OneContext::new()), wanted);
        check(DenseHeap::<_, _, READY>::new(part(memory, 24, 50 * KIB), OneContext::new()), wanted);
    }
    fn check<const READY: usize>(heap: DenseHeap<FixedRegion, OneContext, READY>, wanted: Layout) {
        let block = heap.allocate(wanted).expect("room");
        // The rest is filled up, with few blocks.
        for size in [4000, 300, 24] {
            while heap.allocate(layout(size, 8)).is_some() {}
        }
        // SAFETY: a block of this heap.
        unsafe { heap.deallocate(block, wanted) };
        assert_eq!(heap.allocate(wanted), Some(block), "{wanted:?}");
        heap.assert_valid();
    }
}

static READ: AtomicUsize = AtomicUsize::new(0);
static MOST_READ: AtomicUsize = AtomicUsize::new(0);

/// A region whose reads and writes are counted.
struct Counted(FixedRegion);

// SAFETY: the region's own.
unsafe impl PageSource for Counted {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.0.reserve(request)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        READ.fetch_add(1, Relaxed);
        self.0.pointer_at(address)
    }
}

/// Others wait meanwhile.
struct Waiting(OneContext);

// SAFETY: X1: that of `OneContext`.
unsafe impl Exclusion for Waiting {
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.alone(|| {
            READ.store(0, Relaxed);
            let result = work();
            MOST_READ.fetch_max(READ.load(Relaxed), Relaxed);
            result
        })
    }
}

/// Others wait for no more than so many reads and writes of the heap's memory: what README of bare metal counts in instructions.
const MOST: usize = 400;

#[test]
#[cfg_attr(miri, ignore = "too much memory")]
fn others_do_not_wait_longer_where_there_is_more_memory() {
    let mut memory = vec![0u128; 32 * KIB];
    let memory = memory.as_mut_ptr();
    let mut rng = Rng::new(3);
    // A debug build looks at all free runs before each free.
    let sizes: &[usize] = if cfg!(debug_assertions) { &[16, 128] } else { &[16, 128, 500] };
    for &kib in sizes {
        // Runs of one length, which no request fits, and many short ones.
        for (long, short) in [(35, 2), (200, 2), (3, 2), (2, 3)] {
            let granule = 2 * size_of::<usize>();
            let (long, short) = (layout(long * granule, 8), layout(short * granule, 8));
            let heap = HeaderlessHeap::new(Counted(part(memory, 8, kib * KIB)), Waiting(OneContext::new()));
            let mut blocks = Vec::new();
            while let Some(block) = heap.allocate(long) {
                blocks.push(block);
                if heap.allocate(short).is_none() {
                    break;
                }
            }
            while heap.allocate(Layout::new::<u8>()).is_some() {}
            check("filling");
            while !blocks.is_empty() {
                let block = blocks.swap_remove(rng.below(blocks.len()));
                // SAFETY: a block of this heap.
                unsafe { heap.deallocate(block, long) };
            }
            check("freeing");
            for (size, align) in
                [(long.size() + 400, 8), (long.size(), 64), (long.size() / 2, 1024), (64, 4096), (24, 512), (90, 128)]
            {
                while heap.allocate(layout(size, align)).is_some() {}
                check("allocating");
            }
            if !cfg!(debug_assertions) {
                // What is checked in a debug build takes longer.
                heap.assert_valid();
                MOST_READ.store(0, Relaxed);
            }
            let stats = heap.stats();
            assert_eq!(stats.capacity / KIB, kib - 1);
            check("stats");
        }
    }
    fn check(what: &str) {
        let most = MOST_READ.swap(0, Relaxed);
        assert!(most <= MOST || cfg!(debug_assertions) && what == "freeing", "{what}: {most} reads and writes in one step");
    }
}
