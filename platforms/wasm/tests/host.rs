//! The page source on a host, over memory that is simulated: growth refused, strangers who grow the memory too, the end of the address space.

#![cfg(not(target_family = "wasm"))]

mod simulated;

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::conformance::{conformance, conformance_with};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::rng::Rng;
use coreheap_wasm::coreheap::{DenseHeap, Heap, OneContext, PageSource, Region, RegionRequest, SingleCore};
use coreheap_wasm::{GrowingMemory, LinearMemory, ModuleGeometry, PAGE_SIZE, WholePages};
use simulated::Simulated;

fn request(min_size: usize) -> RegionRequest {
    RegionRequest { min_size, preferred_size: min_size, preferred_align: 1, is_for_one_block: false }
}

fn pages(region: Region) -> usize {
    assert_eq!(region.size % PAGE_SIZE, 0);
    region.size / PAGE_SIZE
}

#[test]
fn conforms() {
    conformance(|| GrowingMemory::new(Simulated::new(600), 1));
    conformance_with::<_, SingleCore, ModuleGeometry>(|| GrowingMemory::new(Simulated::new(600), 1), single_core);
}

#[test]
fn conforms_where_growth_is_soon_refused() {
    conformance_with::<_, SingleCore, ModuleGeometry>(|| GrowingMemory::new(Simulated::new(20), 3), single_core);
    conformance(|| GrowingMemory::new(Simulated::new(40), 16));
}

#[test]
fn conforms_among_strangers() {
    for every in 1..4 {
        let make = || GrowingMemory::new(Simulated::with_strangers(300, every), 1);
        conformance_with::<_, SingleCore, ModuleGeometry>(make, single_core);
        conformance(make);
    }
}

#[test]
fn random_actions() {
    let limits = Limits { size: 40_000, align: 1 << 17, live: 1000 };
    for (seed, every) in [(1, usize::MAX), (2, 1), (3, 2), (4, 7)] {
        let heap: Heap<_, SingleCore, ModuleGeometry> =
            Heap::new(GrowingMemory::new(Simulated::with_strangers(150, every), 1), single_core());
        let inside = |start, size| heap.source().memory().contains(start, size);
        let mut driver = Driver::new(&heap, &inside);
        driver.run(&mut Rng::new(seed), &limits, 30_000);
        assert!(driver.finish().allocated > 5000);
        act_on_whole_pages::<0>(seed, every, &limits);
        act_on_whole_pages::<72>(seed, every, &limits);
    }
}

/// A heap that gets whole pages, and joins those that touch.
type Dense<const READY: usize> = DenseHeap<WholePages<Simulated>, OneContext, READY>;

fn act_on_whole_pages<const READY: usize>(seed: u64, every: usize, limits: &Limits) {
    let source = WholePages::new(Simulated::with_strangers(150, every).leaving(5008), 1);
    let heap: Dense<READY> = DenseHeap::new(source, OneContext::new());
    let inside = |start, size| heap.source().memory().contains(start, size);
    let mut driver = Driver::new(&heap, &inside);
    driver.run(&mut Rng::new(seed), limits, 30_000);
    assert!(driver.finish().allocated > 5000);
}

#[test]
fn whole_pages_that_touch_are_joined() {
    let heap: Dense<0> = DenseHeap::new(WholePages::new(Simulated::new(100).leaving(20_000), 1), OneContext::new());
    let memory = heap.source().memory();
    let first = heap.allocate(Layout::new::<[u8; 19_000]>()).expect("room");
    assert_eq!(memory.calls(), 0, "what was there is first");
    let second = heap.allocate(Layout::new::<[u8; 3 * PAGE_SIZE]>()).expect("room");
    assert!(memory.pages() <= 5, "what is left of the first page is part of the block: {}", memory.pages());
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(first, Layout::new::<[u8; 19_000]>());
        let longer = heap.reallocate(second, Layout::new::<[u8; 3 * PAGE_SIZE]>(), 90 * PAGE_SIZE).expect("room");
        assert_eq!(longer, second, "it grows with the memory");
        assert!(heap.reallocate(longer, Layout::new::<[u8; 90 * PAGE_SIZE]>(), 100 * PAGE_SIZE).is_none(), "to the maximum");
        heap.deallocate(longer, Layout::new::<[u8; 90 * PAGE_SIZE]>());
    }
    heap.assert_valid();
    let stats = heap.stats();
    assert_eq!((stats.used, stats.largest_free_run + size_of::<usize>()), (0, stats.capacity), "all of it is one block again");
}

#[test]
fn grows_by_need_and_in_proportion() {
    let source = GrowingMemory::new(Simulated::new(600), 2);
    let grown = |bytes| pages(source.reserve(request(bytes)).expect("room"));
    assert_eq!(grown(1), 2, "the least growth");
    assert_eq!(grown(300_000), 5, "what is needed");
    assert_eq!(grown(320 * PAGE_SIZE), 320);
    assert_eq!(source.memory().pages(), 328);
    assert_eq!(grown(1), 20, "a 16th of what there is");
    assert_eq!(grown(240 * PAGE_SIZE), 240);
    assert_eq!((source.memory().pages(), grown(PAGE_SIZE + 1)), (588, 2), "no 36 pages are left, but two");
    assert!(source.reserve(request(11 * PAGE_SIZE)).is_none());
    assert_eq!(grown(10 * PAGE_SIZE), 10, "to the last page");
    assert!(source.reserve(request(1)).is_none());
}

#[test]
fn a_region_grows_in_place_and_leaves_what_it_does_not_need() {
    let source = GrowingMemory::new(Simulated::new(100), 1);
    let first = source.reserve(request(PAGE_SIZE)).expect("room");
    // SAFETY: the source's region, as grown.
    let added = unsafe { source.grow(first, 1000, 3000) };
    assert_eq!((added, source.memory().pages()), (3008, 3), "as much as was asked for, of one page");
    let first = Region { size: first.size + added, ..first };
    let calls = source.memory().calls();
    // SAFETY: as above.
    let added = unsafe { source.grow(first, 50_000, 50_000) };
    assert_eq!((added, source.memory().calls()), (50_000, calls), "of the rest of that page");
    let first = Region { size: first.size + added, ..first };
    let rest = 2 * PAGE_SIZE - first.size;
    let second = source.reserve(request(PAGE_SIZE)).expect("room");
    assert_eq!(second.size, rest + PAGE_SIZE, "the rest, and a page more");
    assert_eq!(second.start.addr().get(), first.start.addr().get() + first.size);
    // SAFETY: as above.
    assert_eq!(unsafe { source.grow(first, 1, 1) }, 0, "another region lies behind it");
    assert_eq!(source.memory().pages(), 4, "so the memory was not asked");
}

#[test]
fn what_comes_elsewhere_is_not_lost() {
    let source = GrowingMemory::new(Simulated::with_strangers(100, 2), 1);
    let first = source.reserve(request(PAGE_SIZE)).expect("room");
    // SAFETY: the source's region.
    assert_eq!(unsafe { source.grow(first, 3 * PAGE_SIZE, 3 * PAGE_SIZE) }, 0, "a stranger came at this very moment");
    assert_eq!((source.memory().pages(), source.memory().calls()), (6, 2));
    let second = source.reserve(request(3 * PAGE_SIZE)).expect("what was got");
    assert_eq!((pages(second), source.memory().calls()), (3, 2));
    assert_eq!(second.start.as_ptr(), source.memory().page(3));

    // A stranger comes before, and then two pages are spare when another comes at this very moment.
    source.memory().grow_by_a_stranger();
    // SAFETY: the source's region.
    assert_eq!(unsafe { source.grow(second, 1, 1) }, 0);
    let third = source.reserve(request(2 * PAGE_SIZE)).expect("room");
    // SAFETY: as above.
    assert_eq!(unsafe { source.grow(third, 1, 1) }, 0, "the fourth call");
    let (calls, pages_before) = (source.memory().calls(), source.memory().pages());
    let fourth = source.reserve(request(2 * PAGE_SIZE)).expect("room");
    assert_eq!((pages(fourth), source.memory().calls()), (2, calls + 1), "the page that came elsewhere, and one behind it");
    assert_eq!(source.memory().pages(), pages_before + 1);
}

#[test]
fn all_pages_become_regions() {
    // Strangers everywhere: with many pieces that are too small, all of them go out in the end.
    let source = GrowingMemory::new(Simulated::with_strangers(200, 2), 1);
    let mut out = 0;
    let mut regions = Vec::<Region>::new();
    for turn in 0..200 {
        if let Some(region) = regions.last_mut() {
            // SAFETY: the source's region, as grown.
            let added = unsafe { source.grow(*region, 1 + turn % 3 * PAGE_SIZE, 1 + turn % 3 * PAGE_SIZE) };
            region.size += added;
            out += added;
        }
        if let Some(region) = source.reserve(request((1 + turn % 4) * PAGE_SIZE)) {
            out += region.size;
            regions.push(region);
        }
    }
    while let Some(region) = source.reserve(request(1)) {
        out += region.size;
        regions.push(region);
    }
    let strangers = source.memory().calls() / 2;
    assert!(source.memory().pages() == 200 && strangers > 20);
    let strange = source.memory().strange_pages();
    assert_eq!(out, (200 - 1 - strange) * PAGE_SIZE, "all but the program's own page and {strange} of strangers");
    // SAFETY: the regions' bytes; nobody writes them.
    let is_zero =
        |region: &Region| unsafe { std::slice::from_raw_parts(region.start.as_ptr(), region.size) }.iter().all(|byte| *byte == 0);
    assert!(regions.iter().all(is_zero), "what waited is as it came");
    regions.sort_by_key(|region| region.start);
    let is_apart = |left: &Region, right: &Region| left.start.addr().get() + left.size <= right.start.addr().get();
    assert!(regions.is_sorted_by(is_apart), "regions overlap");
}

#[test]
fn a_heap_uses_all_of_its_memory() {
    for (maximum, unused) in [(9, 0), (9, 20_000), (30, 48), (100, 40_000), (400, 65_520)] {
        let memory = Simulated::new(maximum).leaving(unused);
        let heap: Heap<_, SingleCore, ModuleGeometry> = Heap::new(GrowingMemory::new(memory, 1), single_core());
        let layout = Layout::new::<[u64; 128]>();
        let blocks = std::iter::from_fn(|| heap.allocate(layout)).count();
        let part = (blocks * layout.size()) as f64 / ((maximum - 1) * PAGE_SIZE + unused) as f64;
        assert!(part > 0.94, "{part} of {maximum} pages");
        // No region got more than its tables can describe.
        let stats = heap.stats();
        let lost = stats.reserved - stats.metadata - stats.used;
        assert_eq!(lost, 0, "bytes of no use in {maximum} pages");
    }
}

#[test]
fn a_large_block_at_the_end_grows_with_the_memory() {
    let heap: Heap<_, SingleCore, ModuleGeometry> = Heap::new(GrowingMemory::new(Simulated::new(200), 1), single_core());
    let first = Layout::new::<[u8; 5 * PAGE_SIZE]>();
    let block = heap.allocate(first).expect("room");
    let end = block.addr().get() + first.size();
    // SAFETY: a block of this heap, of this size.
    let longer = unsafe { heap.reallocate(block, first, 9 * PAGE_SIZE) };
    assert_eq!(longer, Some(block), "nothing is behind it");
    let pages_before = heap.source().memory().pages();
    let other = heap.allocate(first).expect("room");
    assert!(other.addr().get() > end);
    // SAFETY: as above.
    unsafe {
        let moved = heap.reallocate(block, Layout::new::<[u8; 9 * PAGE_SIZE]>(), 12 * PAGE_SIZE).expect("room");
        assert_ne!(moved, block, "another block is behind it");
        assert!(
            heap.reallocate(moved, Layout::new::<[u8; 12 * PAGE_SIZE]>(), 300 * PAGE_SIZE).is_none(),
            "there are not so many"
        );
        heap.deallocate(moved, Layout::new::<[u8; 12 * PAGE_SIZE]>());
        heap.deallocate(other, first);
    }
    assert!(pages_before <= 12, "as many as it needs: {pages_before}");
    heap.assert_valid();
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn what_was_there_is_used_first_and_grows_in_place() {
    let source = GrowingMemory::new(Simulated::new(100).leaving(20_000), 1);
    let first = source.reserve(request(19_000)).expect("room");
    assert_eq!((first.size, source.memory().calls()), (20_000, 0));
    assert_eq!(first.start.as_ptr(), source.memory().page(1).wrapping_sub(20_000));
    // SAFETY: the source's region.
    assert_eq!(unsafe { source.grow(first, 10, PAGE_SIZE) }, PAGE_SIZE);

    let source = GrowingMemory::new(Simulated::new(100).leaving(20_000), 1);
    let first = source.reserve(request(21_000)).expect("room");
    assert_eq!(first.size, 20_000 + PAGE_SIZE, "too small alone, with a page more");
    assert_eq!(first.start.as_ptr(), source.memory().page(1).wrapping_sub(20_000));
    conformance_with::<_, SingleCore, ModuleGeometry>(|| GrowingMemory::new(Simulated::new(600).leaving(5008), 1), single_core);
}

/// The last pages of the address space, which nobody can touch.
struct LastPages {
    taken: AtomicUsize,
}

const LAST_PAGES: usize = 100;

// SAFETY: no more than addresses, and the test does not use them as anything else.
unsafe impl LinearMemory for LastPages {
    fn grow(&self, pages: usize) -> Option<usize> {
        let within = |now: usize| now.checked_add(pages).filter(|sum| *sum <= LAST_PAGES);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()
    }

    fn pages(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn page(&self, index: usize) -> *mut u8 {
        std::ptr::without_provenance_mut(0usize.wrapping_sub((LAST_PAGES - index) * PAGE_SIZE))
    }
}

#[test]
fn the_address_space_ends_where_a_region_ends() {
    let source = GrowingMemory::new(LastPages { taken: AtomicUsize::new(0) }, 1);
    let first = source.reserve(request(90 * PAGE_SIZE)).expect("room");
    assert_eq!(pages(first), 90);
    // SAFETY: the source's region; as many pages as are added, so that none is left to wait.
    let added = unsafe { source.grow(first, 9 * PAGE_SIZE + 1, 10 * PAGE_SIZE) };
    assert_eq!(added, 10 * PAGE_SIZE);
    let first = Region { size: first.size + added, ..first };
    assert_eq!(first.start.addr().get().wrapping_add(first.size), 0);
    // SAFETY: as above.
    assert_eq!(unsafe { source.grow(first, 1, 1) }, 0, "nothing is behind the end");
    assert!(source.reserve(request(1)).is_none());
}

#[test]
fn a_heap_goes_on_after_a_refusal() {
    let heap: Heap<_, SingleCore, ModuleGeometry> = Heap::new(GrowingMemory::new(Simulated::new(10), 1), single_core());
    assert_eq!(heap.allocate(Layout::new::<[u8; 10 * PAGE_SIZE]>()), None, "there are nine pages");
    let layout = Layout::new::<[u64; 64]>();
    let blocks: Vec<NonNull<u8>> = std::iter::from_fn(|| heap.allocate(layout)).collect();
    assert!(blocks.len() * layout.size() > 8 * PAGE_SIZE, "{} blocks", blocks.len());
    assert_eq!(heap.source().memory().pages(), 10);
    // SAFETY: blocks of this heap, with their layout.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout) });
    let page = Layout::new::<[u8; PAGE_SIZE]>();
    let block = heap.allocate(page).expect("a region has grown in place");
    // SAFETY: as above.
    unsafe { heap.deallocate(block, page) };
    heap.assert_valid();
}

#[test]
fn threads_get_regions_apart() {
    let source = GrowingMemory::new(Simulated::with_strangers(500, 5), 1);
    let mut ranges: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let take = || {
            let mut ranges = Vec::new();
            for turn in 1..20 {
                let Some(region) = source.reserve(request(turn * 5000)) else { continue };
                // SAFETY: the source's region.
                let size = region.size + unsafe { source.grow(region, 1000, 2000) };
                // SAFETY: the region, as grown.
                let bytes = unsafe { std::slice::from_raw_parts_mut(region.start.as_ptr(), size) };
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.fill(1);
                ranges.push((region.start.addr().get(), region.start.addr().get() + size));
            }
            ranges
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    ranges.sort_unstable();
    assert!(ranges.len() > 60 && ranges.is_sorted_by(|(_, end), (start, _)| end <= start));
}
