//! What a source is asked for, what comes of its answers, and what is given up to it.

use core::cell::{Cell, RefCell};
use std::vec::Vec;

use super::super::*;
use crate::small::exclusion::Unshared;
use crate::source::page_source::Region;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::tests::script::{self, Script};

type Heap = DenseHeap<Script, Unshared>;

fn heap(source: Script) -> Heap {
    // SAFETY: the test's own context.
    DenseHeap::new(source, unsafe { Unshared::new() })
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// Bytes of the requests for a block, all of which are refused.
fn asked(size: usize, align: usize) -> Vec<usize> {
    let heap = heap(Script::new(&[], 0, &[]));
    assert_eq!(heap.allocate(layout(size, align)), None);
    let requests = heap.source().requests.take();
    assert!(requests.iter().all(|request| request.preferred_size == request.min_size && request.preferred_align == GRANULE));
    requests.into_iter().map(|request| request.min_size).collect()
}

#[test]
fn a_region_is_asked_for_in_which_the_block_surely_fits_and_else_one_in_which_it_may() {
    for (size, align) in [(1, 1), (100, 8), (1000, 64), (3000, 512), (60_000, 8)] {
        let [surely, perhaps] = asked(size, align)[..] else { panic!("two requests") };
        assert!(perhaps <= surely && (perhaps < surely || size == 1));
        let (mut fits_well, skews) = (0, if cfg!(miri) { 2 } else { 32 });
        for skew in 0..skews {
            let sure = heap(Script::new(&[surely], skew, &[Some(0)]));
            assert!(sure.allocate(layout(size, align)).is_some(), "{size} at {align}, {skew}");
            assert_eq!(sure.source().asked(), 1);
            sure.assert_valid();
            let lucky = heap(Script::new(&[perhaps], skew, &[None, Some(0)]));
            fits_well += usize::from(lucky.allocate(layout(size, align)).is_some());
            lucky.assert_valid();
        }
        // A short block always fits, in the shortest region; others do if they lie well.
        let is_as_expected = if size == 1 { fits_well == skews } else { fits_well < skews };
        assert!(is_as_expected && (cfg!(miri) || align > 8 || fits_well > 0), "{size} at {align}: {fits_well}");
    }
}

/// With one byte less than it asks for no region would do, wherever it lies.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn no_shorter_region_would_do() {
    for size in (100..400).step_by(7) {
        let perhaps = asked(size, 8)[1];
        for skew in 0..2 * GRANULE {
            let heap = heap(Script::new(&[perhaps - 1], skew, &[None, Some(0)]));
            assert_eq!(heap.allocate(layout(size, 8)), None, "{size}, {skew}");
            heap.assert_valid();
        }
    }
}

#[test]
fn what_is_a_rare_find_is_not_asked_for() {
    assert_eq!([2048, 4096, 8192].map(|align| asked(100, align).len()), [2, 2, 1]);
    assert!(asked(100, 8192)[0] > 8192 + 100);
    assert_eq!(asked(100, GRANULE), asked(100, 1), "all blocks are aligned to that");
}

#[test]
fn a_heap_grows_by_a_quarter() {
    let heap = heap(Script::new(&[64 * 1024, 16 * 1024], 0, &[Some(0), None, None, Some(1)]));
    heap.allocate(layout(40_000, 8)).expect("room");
    heap.source().requests.take();
    assert_eq!(heap.allocate(layout(30_000, 8)), None);
    let big = heap.source().requests.take();
    assert!(big.len() == 2 && big.iter().all(|request| request.preferred_size == request.min_size && request.min_size > 30_000));
    for kib in [64, 80] {
        heap.allocate(layout(heap.stats().largest_free_run, 8)).expect("the rest");
        _ = heap.allocate(layout(8, 8));
        let small = heap.source().requests.take();
        let is_quarter = |request: &RegionRequest| (kib * 256 - 4 * GRANULE..=kib * 256).contains(&request.preferred_size);
        assert!(!small.is_empty() && small.iter().all(|request| is_quarter(request) && request.min_size < 1000), "{small:?}");
    }
}

#[test]
fn memory_that_came_meanwhile_is_looked_at() {
    script::memory_that_came_meanwhile_is_looked_at(heap, Heap::source, Heap::allocate, |heap, fits| {
        assert_eq!(heap.source().asked(), if fits { 2 } else { 4 });
    });
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_report_looks_at_all_regions() {
    for sizes in [[4096, 8192], [8192, 4096]] {
        let heap = heap(Script::new(&sizes, 0, &[Some(0), Some(1)]));
        assert_eq!(heap.stats(), SmallStats::default());
        let blocks: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(40, 8))).collect();
        let stats = heap.stats();
        assert!(stats.capacity > 12_200 && stats.capacity < 12_288 && stats.used <= stats.capacity, "{stats:?}");
        // SAFETY: blocks of this heap.
        blocks.iter().for_each(|block| unsafe { heap.deallocate(*block, layout(40, 8)) });
        let stats = heap.stats();
        assert!(stats.used == 0 && stats.largest_free_run > 8100 && stats.largest_free_run < 8192);
        assert!(heap.source().regions.iter().all(|region| {
            let at = |offset: usize| heap.contains(region.start.as_ptr().wrapping_add(offset));
            at(0) && at(region.size - WORD - 1) && !at(region.size)
        }));
        heap.assert_valid();
    }
}

/// A source of two regions that can discard whole OS pages, if it does not refuse.
struct Discards {
    regions: [Region; 2],
    handed_out: Cell<usize>,
    refuses: Cell<bool>,
    /// Numbers of the region, its first page, and how many there are.
    discarded: RefCell<Vec<[usize; 3]>>,
}

const OS_PAGE: usize = 4096;

// SAFETY: one thread has it.
unsafe impl Sync for Discards {}

// SAFETY: its regions are the heap's; each goes out once.
unsafe impl PageSource for Discards {
    const DISCARDS: bool = true;
    const OS_PAGE_SIZE: usize = OS_PAGE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let next = *self.regions.get(self.handed_out.get())?;
        (next.size >= request.min_size).then(|| {
            self.handed_out.set(self.handed_out.get() + 1);
            next
        })
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        if self.refuses.get() {
            return false;
        }
        // SAFETY: the heap gave it up.
        unsafe { start.write_bytes(0xdd, size) };
        let index = self.regions.iter().position(|region| region.holds(start.addr().get())).expect("in a region");
        let offset = start.addr().get() - self.regions[index].start.addr().get();
        self.discarded.borrow_mut().push([index, offset / OS_PAGE, size / OS_PAGE]);
        true
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let region = self.regions.iter().find(|region| region.holds(address)).expect("in a region");
        region.start.as_ptr().with_addr(address)
    }
}

#[test]
fn a_purge_says_how_many_bytes_it_gave_up() {
    let regions = [16, 4].map(|pages| Region { start: memory_that_stays(pages * OS_PAGE, OS_PAGE), size: pages * OS_PAGE });
    let (handed_out, refuses) = (Cell::new(0), Cell::new(true));
    // SAFETY: the test's own context.
    let alone = unsafe { Unshared::new() };
    let heap = DenseHeap::<_, _, 16>::new(Discards { regions, handed_out, refuses, discarded: RefCell::default() }, alone);
    assert_eq!(heap.purge(), 0, "there is nothing yet");
    let small = [(); 2].map(|()| heap.allocate(layout(100, 8)).expect("room"));
    assert_eq!(heap.purge(), 0, "it refuses");
    heap.assert_valid();
    heap.source().refuses.set(false);
    let purged = || {
        let bytes = heap.purge();
        heap.assert_valid();
        (bytes / OS_PAGE, heap.source().discarded.take())
    };
    // Between the links of the free block and the size at its end.
    assert_eq!(purged(), (14, [[0, 1, 14]].to_vec()));
    let pages = |pages: usize| layout(pages * OS_PAGE, 8);
    let [first, second, _last] = [5, 4, 2].map(|count| heap.allocate(pages(count)).expect("room"));
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(small[0], layout(100, 8));
        heap.deallocate(first, pages(5));
    }
    // The first free block, which was ready, has no whole page.
    assert_eq!(purged(), (7, [[0, 1, 4], [0, 12, 3]].to_vec()));
    // Another region: it is looked at first.
    let fillers = [(); 3].map(|()| {
        let all = layout(heap.stats().largest_free_run, 8);
        (heap.allocate(all).expect("as much as that"), all)
    });
    let other = heap.allocate(pages(3)).expect("room in the second");
    assert_eq!(heap.source().handed_out.get(), 2);
    // SAFETY: blocks of this heap.
    unsafe {
        fillers.into_iter().for_each(|(block, layout)| heap.deallocate(block, layout));
        heap.deallocate(other, pages(3));
        heap.deallocate(second, pages(4));
        heap.deallocate(small[1], layout(100, 8));
    }
    assert_eq!(purged(), (13, [[1, 1, 2], [0, 1, 8], [0, 12, 3]].to_vec()));
    assert_eq!(heap.stats().misuses, 0);
}

#[test]
fn a_purge_sends_home_what_is_ready_where_nothing_can_be_discarded_too() {
    // SAFETY: the test's own context.
    let heap = DenseHeap::<_, _, 16>::new(Script::new(&[4096], 0, &[Some(0)]), unsafe { Unshared::new() });
    let block = heap.allocate(layout(100, 8)).expect("room");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout(100, 8)) };
    let states = || {
        let mut blocks = [const { (0..0, BlockState::Used) }; 4];
        let count = heap.copy_blocks(0, &mut blocks);
        blocks[..count].iter().map(|(_, state)| *state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [BlockState::Ready, BlockState::Free]);
    assert_eq!((heap.purge(), states()), (0, [BlockState::Free].to_vec()));
}
