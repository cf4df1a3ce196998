//! Regions that are added while the program runs: joined where they touch, refused where they overlap.

use std::alloc::Layout;

use coreheap_bare::AddedRegions;
use coreheap_bare::coreheap::{HeaderlessHeap, Heap, OneContext, PageSource, RegionRequest, SingleCore, SmallHeap, Tiny};

const KIB: usize = 1024;

fn request(min_size: usize) -> RegionRequest {
    RegionRequest { min_size, preferred_size: min_size, preferred_align: 1, is_for_one_block: false }
}

#[test]
fn a_region_that_overlaps_another_is_refused() {
    let mut memory = vec![0u64; KIB];
    let start = memory.as_mut_ptr().cast::<u8>();
    let regions = AddedRegions::<4>::new();
    let add = |offset: usize, size| {
        // SAFETY: memory of the test's own. What overlaps is the question.
        unsafe { regions.add(start.add(offset), size) }
    };
    assert!(add(1000, 1000) && add(4000, 1000));
    let refuses_overlaps = || {
        for (offset, size) in
            [(1000, 1000), (999, 2), (1999, 1), (0, 8 * KIB), (500, 501), (1200, 100), (4999, 100), (3000, 3000)]
        {
            assert!(!add(offset, size), "{size} bytes from {offset} on");
        }
    };
    refuses_overlaps();
    assert!(regions.reserve(request(1000)).is_some() && regions.reserve(request(1000)).is_some());
    refuses_overlaps();
    assert!(add(999, 1) && add(5000, 1), "its neighbours are free, and the heap has the regions: they are no part of them");
    assert_eq!(regions.reserve(request(2)).map(|region| region.size), None);
    // SAFETY: refused.
    unsafe { assert!(!regions.add(start, usize::MAX) && !regions.add(start, usize::MAX - start.addr() + 2)) };
}

#[test]
fn regions_that_touch_are_joined() {
    // In every order, in which up to three lie apart until the last ones come.
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1, 3], [1, 3, 0, 4, 2], [4, 0, 2, 3, 1]] {
        let mut memory = vec![0u64; 5 * KIB / 8];
        let start = memory.as_mut_ptr().cast::<u8>();
        let regions = AddedRegions::<3>::new();
        for part in order {
            // SAFETY: memory of the test's own.
            assert!(unsafe { regions.add(start.add(part * KIB), KIB) }, "{part} of {order:?}");
        }
        let whole = regions.reserve(request(5 * KIB)).expect("one region");
        assert_eq!((whole.start.addr().get(), whole.size), (start.addr(), 5 * KIB), "{order:?}");
        assert!(regions.reserve(request(1)).is_none());
    }
}

#[test]
fn frames_that_are_added_one_by_one_are_one_heap() {
    let mut memory = vec![0u64; 64 * KIB / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let all = Layout::new::<[u8; 60 * KIB]>();
    // SAFETY: memory of the test's own, for one heap after the other.
    let add = |regions: &AddedRegions<2>| (0..64).all(|frame| unsafe { regions.add(start.add(frame * KIB), KIB) });
    let heap = SmallHeap::new(AddedRegions::<2>::new());
    assert!(heap.allocate(Layout::new::<u8>()).is_none() && add(heap.source()));
    assert!(heap.allocate(all).is_some());
    heap.assert_valid();
    let heap = HeaderlessHeap::new(AddedRegions::<2>::new(), OneContext::new());
    assert!(add(heap.source()) && heap.allocate(all).is_some());
    heap.assert_valid();
}

#[test]
fn a_region_that_is_too_small_to_begin_with_can_still_be_joined() {
    let mut memory = vec![0u64; 4 * KIB / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let heap = SmallHeap::new(AddedRegions::<4>::new());
    // SAFETY: memory of the test's own.
    assert!(unsafe { heap.source().add(start, 40) });
    assert!(heap.allocate(Layout::new::<u8>()).is_none());
    // SAFETY: as above.
    assert!(unsafe { heap.source().add(start.add(40), 4 * KIB - 40) });
    assert!(heap.allocate(Layout::new::<[u8; 3 * KIB]>()).is_some());
}

#[test]
fn a_heap_goes_on_with_what_comes_later() {
    let mut memory = vec![0u64; 16 * KIB / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let heap = SmallHeap::new(AddedRegions::<4>::new());
    let layout = Layout::new::<[u8; 3 * KIB]>();
    for part in 0..4 {
        // SAFETY: memory of the test's own.
        assert!(unsafe { heap.source().add(start.add(part * 4 * KIB), 4 * KIB) });
        assert!(heap.allocate(layout).is_some(), "in region {part}");
        assert!(heap.allocate(layout).is_none(), "each has room for one");
    }
    heap.assert_valid();
    assert_eq!(heap.stats().misuses, 0);
}

/// The region that was too small to begin with becomes a big one when the heap has begun with another.
fn goes_on_with_the_first_region<H>(
    make: impl FnOnce(AddedRegions<4>) -> H,
    source: impl Fn(&H) -> &AddedRegions<4>,
    allocate: impl Fn(&H) -> bool,
) {
    let mut memory = vec![0u64; 64 * KIB / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let heap = make(AddedRegions::new());
    // SAFETY: memory of the test's own.
    let add = |from: usize, to: usize| unsafe { source(&heap).add(start.add(from), to - from) };
    assert!(add(0, 40) && add(48 * KIB, 64 * KIB));
    assert!((0..1000).any(|_| !allocate(&heap)), "the second region is full");
    assert!(add(40, 40 * KIB));
    assert!(allocate(&heap), "the first one is there now");
}

#[test]
fn a_heap_goes_on_with_the_first_region_if_it_began_with_another() {
    let layout = Layout::new::<[u8; 1000]>();
    goes_on_with_the_first_region(SmallHeap::new, SmallHeap::source, |heap| heap.allocate(layout).is_some());
    // SAFETY: one thread.
    let paged = |source| unsafe { Heap::<_, _, Tiny>::new(source, SingleCore::new()) };
    goes_on_with_the_first_region(paged, Heap::source, |heap| heap.allocate(layout).is_some());
}

/// The first region becomes big after the heap has begun with another; then the heap gets a third one, as the first is too small for what it needs.
fn does_not_lose_the_first_region<H>(
    make: impl FnOnce(AddedRegions<4>) -> H,
    source: impl Fn(&H) -> &AddedRegions<4>,
    allocate: impl Fn(&H, usize) -> bool,
) {
    let mut memory = vec![0u64; 128 * KIB / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let heap = make(AddedRegions::new());
    // SAFETY: memory of the test's own.
    let add = |from: usize, to: usize| unsafe { source(&heap).add(start.add(from), to - from) };
    assert!(add(0, 40) && add(100 * KIB, 128 * KIB));
    assert!(allocate(&heap, 20 * KIB), "in the second region");
    assert!(add(40, 20 * KIB) && add(24 * KIB, 60 * KIB));
    assert!(allocate(&heap, 24 * KIB), "in the third region");
    assert!(allocate(&heap, 12 * KIB), "in the first region, as there is less left of the others");
}

#[test]
fn a_heap_does_not_lose_the_first_region_if_it_began_with_another() {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    does_not_lose_the_first_region(SmallHeap::new, SmallHeap::source, |heap, size| heap.allocate(layout(size)).is_some());
    // SAFETY: one thread.
    let paged = |source| unsafe { Heap::<_, _, Tiny>::new(source, SingleCore::new()) };
    does_not_lose_the_first_region(paged, Heap::source, |heap, size| heap.allocate(layout(size)).is_some());
}
