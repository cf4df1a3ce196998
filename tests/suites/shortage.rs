//! Little memory, many threads: nothing is refused while the program holds less than there is.

use std::alloc::Layout;
use std::panic::AssertUnwindSafe;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use coreheap::sources::FixedRegion;
use coreheap::{Compact, CoreLocal, Geometry, Heap, PageSource, Region, RegionRequest, Server, SingleCore, Tiny, TryFlag};
use coreheap_tests::cores::{ThreadNumber, Wandering};
use coreheap_tests::geometries::Small;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{COMMITS, DECOMMITS, DISCARDS, TestSource};

/// Steps of all threads together.
const STEPS: usize = if cfg!(miri) { 60 } else { 1_500_000 };

/// How many blocks of this layout the heap has when every core has what it needs for itself.
fn capacity<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, layout: Layout, threads: usize) -> usize {
    let fill = || std::iter::from_fn(|| heap.allocate(layout)).collect::<Vec<_>>();
    let free = |blocks: Vec<NonNull<u8>>| {
        for block in &blocks {
            // SAFETY: a live block of this layout.
            unsafe { heap.deallocate(*block, layout) }
        }
        blocks.len()
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| free(fill()));
        }
    });
    free(fill())
}

/// Each thread holds its part of `percent` of the blocks at most, and gets every block that it asks for.
fn hold<S: PageSource, C: CoreLocal + Send, G: Geometry>(heap: &Heap<S, C, G>, size: usize, threads: usize, percent: usize) {
    assert_eq!(refused(heap, size, threads, percent), 0, "{threads} threads, {percent} % of blocks of {size} bytes");
}

/// How many requests are refused of threads that each hold their part of `percent` of the blocks at most.
fn refused<S: PageSource, C: CoreLocal + Send, G: Geometry>(
    heap: &Heap<S, C, G>,
    size: usize,
    threads: usize,
    percent: usize,
) -> usize {
    let layout = Layout::from_size_align(size, 8).unwrap();
    let each = capacity(heap, layout, threads) * percent / 100 / threads;
    assert!(each > 0);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let refused = &refused;
            scope.spawn(move || {
                let mut rng = Rng::new(thread as u64);
                let mut held = Vec::new();
                let mut steps = 0;
                while steps < STEPS / threads {
                    let wanted = rng.below(each + 1);
                    steps += 1;
                    while held.len() < wanted {
                        steps += 1;
                        match heap.allocate(layout) {
                            Some(block) => held.push(block),
                            None => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                        }
                    }
                    while held.len() > wanted {
                        let block = held.swap_remove(rng.below(held.len()));
                        // SAFETY: a live block of this layout.
                        unsafe { heap.deallocate(block, layout) };
                    }
                }
                for block in held {
                    // SAFETY: as above.
                    unsafe { heap.deallocate(block, layout) };
                }
            });
        }
    });
    refused.into_inner()
}

/// The same, by these threads alone.
fn hold_alone<S: PageSource, C: CoreLocal + Send, G: Geometry>(
    heap: &Heap<S, C, G>,
    size: usize,
    threads: usize,
    percent: usize,
) {
    hold(heap, size, threads, percent);
    heap.assert_valid();
}

/// Regions of so many bytes, each for so many threads: blocks of 64 bytes, then of `size`, of which there are few.
fn hold_in_each<G: Geometry>(regions: &[(usize, usize)], size: usize, percent: usize) {
    for (bytes, threads) in regions {
        let heap = || Heap::<_, TryFlag<ThreadNumber, 4>, G>::new(TestSource::<0>::new(&[*bytes]), TryFlag::new());
        if !cfg!(miri) {
            hold_alone(&heap(), 64, *threads, 60);
        }
        hold_alone(&heap(), size, *threads, percent);
    }
}

#[test]
fn without_magazines() {
    let regions: &[_] = if cfg!(miri) { &[(8 << 10, 2)] } else { &[(16 << 10, 2), (24 << 10, 4), (64 << 10, 16)] };
    hold_in_each::<Compact>(regions, 256, 95);
}

#[test]
fn with_magazines() {
    let regions: &[_] = if cfg!(miri) { &[(32 << 10, 2)] } else { &[(64 << 10, 2), (64 << 10, 4), (128 << 10, 16)] };
    hold_in_each::<Small>(regions, 1000, 90);
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn in_each_geometry() {
    fn check<G: Geometry>(geometry: &str) {
        let heap = || Heap::<_, TryFlag<ThreadNumber, 4>, G>::new(TestSource::<0>::new(&[256 << 10]), TryFlag::new());
        hold_alone(&heap(), 64, 4, 60);
        // Of a million and a half.
        let refused = refused(&heap(), 256, 4, 95);
        assert!(refused < 20, "{geometry}: {refused}");
    }
    check::<Tiny>("Tiny");
    check::<Compact>("Compact");
    check::<Small>("Small");
    check::<Server>("Server");
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn while_others_purge_and_wander() {
    const SOURCE: u32 = COMMITS | DECOMMITS | DISCARDS;
    let source = TestSource::<SOURCE>::new(&[128 << 10]);
    let heap = Heap::<_, TryFlag<Wandering, 4>, Small>::new(source, TryFlag::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                heap.purge();
                std::thread::yield_now();
            }
        });
        // The other thread ends also when this one panics.
        let held = std::panic::catch_unwind(AssertUnwindSafe(|| hold(&heap, 200, 4, 80)));
        done.store(true, Ordering::Relaxed);
        held.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    heap.assert_valid();
}

/// A region whose memory is given back slowly: while it is, `is_purging`.
struct Slow {
    region: FixedRegion,
    is_purging: AtomicBool,
}

// SAFETY: the region's; giving its memory back changes nothing.
unsafe impl PageSource for Slow {
    const DECOMMITS: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.region.reserve(request)
    }

    unsafe fn decommit(&self, _: NonNull<u8>, _: usize) -> bool {
        self.is_purging.store(true, Ordering::Release);
        std::thread::sleep(Duration::from_millis(5));
        true
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.region.pointer_at(address)
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri's clock and its spins do not fit together")]
fn what_a_purge_has_in_hand_is_waited_for() {
    const SIZE: usize = 64 << 10;
    let mut memory = vec![0u64; SIZE / 8];
    // SAFETY: the memory is the heap's as long as that lives.
    let region = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), SIZE) };
    let source = Slow { region, is_purging: AtomicBool::new(false) };
    let heap = Heap::<_, TryFlag<ThreadNumber, 4>, Compact>::new(source, TryFlag::new());
    let layout = Layout::from_size_align(SIZE / 2, 8).unwrap();
    let round_trip = || {
        let block = heap.allocate(layout).expect("nobody else has a block");
        // SAFETY: allocated just now.
        unsafe { heap.deallocate(block, layout) };
    };
    round_trip();
    std::thread::scope(|scope| {
        scope.spawn(|| heap.purge());
        scope.spawn(|| {
            while !heap.source().is_purging.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            round_trip();
        });
    });
    heap.assert_valid();
}

/// A region of which so many bytes may be committed at a time, and whose memory is given back slowly.
struct SlowCommitted {
    region: FixedRegion,
    left: AtomicUsize,
    is_purging: AtomicBool,
}

// SAFETY: the region's; to commit memory or to give it up changes nothing.
unsafe impl PageSource for SlowCommitted {
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const OS_PAGE_SIZE: usize = 4096;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.region.reserve(request)
    }

    unsafe fn commit(&self, _: NonNull<u8>, size: usize) -> bool {
        self.left.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| left.checked_sub(size)).is_ok()
    }

    unsafe fn decommit(&self, _: NonNull<u8>, size: usize) -> bool {
        self.is_purging.store(true, Ordering::Release);
        std::thread::sleep(Duration::from_millis(5));
        self.left.fetch_add(size, Ordering::AcqRel);
        true
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.region.pointer_at(address)
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri's clock and its spins do not fit together")]
fn what_is_not_committed_yet_because_of_a_purge_is_waited_for() {
    const SIZE: usize = 1 << 20;
    let mut memory = vec![0u8; SIZE + 4096];
    let start = memory.as_mut_ptr().wrapping_add(memory.as_ptr().align_offset(4096));
    // SAFETY: inside the memory, which is the heap's as long as that lives.
    let region = unsafe { FixedRegion::over(start, SIZE) };
    let source = SlowCommitted { region, left: AtomicUsize::new(256 << 10), is_purging: AtomicBool::new(false) };
    let heap = Heap::<_, TryFlag<ThreadNumber, 4>, Small>::new(source, TryFlag::new());
    let layout = Layout::from_size_align(160 << 10, 8).unwrap();
    let block = heap.allocate(layout).expect("less than may be committed");
    assert!(heap.allocate(layout).is_none(), "a refusal, of which everybody knows then");
    // SAFETY: allocated just now.
    unsafe { heap.deallocate(block, layout) };
    std::thread::scope(|scope| {
        scope.spawn(|| heap.purge());
        while !heap.source().is_purging.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        assert!(heap.allocate(layout).is_some(), "null while all memory is free");
    });
}

/// Many classes in little memory: live blocks of 8 to 500 bytes, some 64 KiB of them.
fn many_classes<C: CoreLocal, G: Geometry>(cores: C, bytes: usize, threads: usize) {
    let heap = Heap::<_, C, G>::new(TestSource::<0>::new(&[bytes]), cores);
    let slots: Vec<AtomicPtr<u8>> = (0..256).map(|_| AtomicPtr::new(null_mut())).collect();
    let refused = AtomicUsize::new(0);
    // A block begins with its size.
    let free = |block: *mut u8| {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: a live block that this thread took out of a slot, of the size that it says.
        unsafe {
            let size = block.cast::<u32>().read() as usize;
            heap.deallocate(block, Layout::from_size_align(size, 8).unwrap());
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (heap, slots, refused, free) = (&heap, &slots, &refused, &free);
            scope.spawn(move || {
                let mut rng = Rng::new(thread as u64);
                for _ in 0..40_000 / threads {
                    let size = 8 + rng.below(493);
                    let Some(block) = heap.allocate(Layout::from_size_align(size, 8).unwrap()) else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    // SAFETY: a fresh block.
                    unsafe { block.cast::<u32>().write(size as u32) };
                    free(slots[rng.below(slots.len())].swap(block.as_ptr(), Ordering::AcqRel));
                }
            });
        }
    });
    assert_eq!(refused.into_inner(), 0, "of 40,000 requests in {bytes} bytes, {threads} threads");
    heap.assert_valid();
    slots.iter().for_each(|slot| free(slot.swap(null_mut(), Ordering::Relaxed)));
    heap.purge();
    assert_eq!(heap.stats().classes().count(), 0, "every page was retired");
}

#[test]
#[cfg_attr(miri, ignore = "needs more memory than Miri has time for")]
fn many_classes_in_few_slices() {
    for bytes in [256 << 10, 512 << 10, 1 << 20] {
        // SAFETY: one thread.
        many_classes::<_, Server>(unsafe { SingleCore::new() }, bytes, 1);
        many_classes::<_, Server>(TryFlag::<ThreadNumber, 4>::new(), bytes, 4);
        many_classes::<_, Compact>(TryFlag::<ThreadNumber, 4>::new(), bytes, 4);
        many_classes::<_, Tiny>(TryFlag::<ThreadNumber, 4>::new(), bytes, 4);
    }
}
