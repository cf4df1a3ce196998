//! Each ability that `Mmap` states, seen to happen.

#![cfg(target_os = "linux")]

mod large_pages;
mod nodes;
#[path = "../regions/mod.rs"]
mod regions;
mod support;

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::{NonNull, null_mut, with_exposed_provenance_mut};
use std::sync::Barrier;
use std::thread;

use coreheap_os::coreheap::{PageSource, RegionRequest};
use coreheap_os::{Coreheap, Mmap, OsHeap};
use coreheap_tests::watched::{Ledger, Watched};

use regions::{at, fill, holds_only};
use support::{
    MIB, PAGE, in_child, is_accessible, is_emulated, minor_faults, reserve, resident_pages, smaps, under_limit, unmaps,
};

#[test]
fn reserves_what_is_preferred_at_the_preferred_alignment() {
    let source = Mmap::new();
    for align in [PAGE, 64 * 1024, 2 * MIB, 1 << 30] {
        for size in [1, PAGE, 3 * PAGE + 1, 5 * MIB] {
            let region = source
                .reserve(RegionRequest { min_size: 1, preferred_size: size, preferred_align: align })
                .expect("address space");
            assert_eq!(region.size, size.next_multiple_of(Mmap::OS_PAGE_SIZE));
            assert!(region.start.addr().get().is_multiple_of(align), "{region:?} at {align}");
            fill(region.start, region.size.min(MIB), 1);
            // Both ends belong to the region alone: what was cut off is not mapped by it.
            // SAFETY: used by nobody.
            assert!(unmaps(region.start, region.size, || unsafe { source.release(region) }));
        }
    }
}

#[test]
fn reserves_less_than_preferred_where_there_is_a_limit() {
    assert!(under_limit(100 * MIB, || {
        let region = Mmap::new().reserve(RegionRequest { min_size: MIB, preferred_size: 1 << 30, preferred_align: PAGE });
        // 1 GiB, 512, 256, 128, 64: the first that fits.
        region.is_some_and(|region| region.size == 64 * MIB)
    }));
    assert!(under_limit(100 * MIB, || {
        // With room for the size only, the alignment is given up.
        let region =
            Mmap::new().reserve(RegionRequest { min_size: 70 * MIB, preferred_size: 70 * MIB, preferred_align: 1 << 30 });
        region.is_some_and(|region| region.size == 70 * MIB)
    }));
    assert!(under_limit(1100 * MIB, || {
        // It is given up before the size is.
        let region = Mmap::new().reserve(RegionRequest { min_size: MIB, preferred_size: 1 << 30, preferred_align: 1 << 30 });
        region.is_some_and(|region| region.size == 1 << 30)
    }));
    assert!(under_limit(100 * MIB, || {
        Mmap::new().reserve(RegionRequest { min_size: 128 * MIB, preferred_size: 1 << 30, preferred_align: PAGE }).is_none()
    }));
    assert!(
        Mmap::new().reserve(RegionRequest { min_size: usize::MAX, preferred_size: usize::MAX, preferred_align: PAGE }).is_none()
    );
}

/// Where less than an arena can be had at a time, arenas are halves of it, and not as small as what the heap happens to need.
#[test]
fn a_heap_reserves_less_than_preferred_where_there_is_a_limit_in_few_regions() {
    // What is allocated in blocks of 64 bytes, and limits: one that no arena fits in beside anything else, and one that is nearly used up.
    const ALL: usize = if cfg!(target_pointer_width = "64") { 300 * MIB } else { 100 * MIB };
    const LIMITS: [usize; 2] = if cfg!(target_pointer_width = "64") { [1 << 30, 340 * MIB] } else { [384 * MIB, 110 * MIB] };
    for limit in LIMITS {
        assert!(under_limit(limit, || {
            let ledger = Ledger::new(usize::MAX);
            let heap = OsHeap::with_source(Watched::new(Mmap::new(), &ledger));
            let layout = Layout::new::<[usize; 64 / size_of::<usize>()]>();
            // Each block holds its number, and where the one before it lies: nothing else needs memory.
            let mut newest: *mut [usize; 2] = null_mut();
            for number in 0..ALL / layout.size() {
                let Some(block) = heap.allocate(layout) else {
                    println!("block {number} of {} under {} MiB: {}", ALL / layout.size(), limit / MIB, heap.stats());
                    return false;
                };
                // SAFETY: a fresh block with room for two numbers and more.
                unsafe { block.cast().write([number, newest.expose_provenance()]) };
                newest = block.cast().as_ptr();
            }
            let regions = ledger.regions_out();
            println!("{regions} regions under {} MiB", limit / MIB);
            for number in (0..ALL / layout.size()).rev() {
                // SAFETY: a live block of this heap, which was written above.
                unsafe {
                    let [found, before] = newest.read();
                    assert_eq!(found, number, "the block was overwritten");
                    heap.deallocate(NonNull::new_unchecked(newest).cast(), layout);
                    newest = with_exposed_provenance_mut(before);
                }
            }
            heap.purge();
            heap.assert_valid();
            let stats = heap.stats();
            newest.is_null() && stats.used == 0 && stats.misuses == 0 && regions <= 40
        }));
    }
}

#[test]
fn fresh_memory_is_zero_and_costs_nothing_before_it_is_touched() {
    const { assert!(Mmap::FRESH_IS_ZERO) };
    let source = Mmap::new();
    let region = reserve(&source, 512 * MIB);
    // SAFETY: a region of this source.
    assert!(unsafe { source.commit(region.start, region.size) });
    assert_eq!(resident_pages(region.start, 512 * MIB), Some(0));
    assert!(holds_only(at(region, 100 * MIB), 64 * PAGE, 0));
    fill(at(region, 200 * MIB), 64 * PAGE, 1);
    assert_eq!(resident_pages(at(region, 200 * MIB), 64 * PAGE), Some(64));
    // SAFETY: used by nobody.
    unsafe { source.release(region) };
}

#[test]
fn decommitting_returns_pages_and_reads_as_zero() {
    const { assert!(Mmap::DECOMMITS && Mmap::DECOMMITTED_IS_ZERO) };
    let source = Mmap::new();
    let region = reserve(&source, MIB);
    fill(region.start, MIB, 7);
    // SAFETY: inside the region.
    assert!(unsafe { source.decommit(at(region, 64 * PAGE), 100 * PAGE) });
    assert_eq!(resident_pages(at(region, 64 * PAGE), 100 * PAGE), Some(0));
    assert_eq!(resident_pages(region.start, MIB), Some(156));
    assert!(holds_only(region.start, 64 * PAGE, 7));
    assert!(holds_only(at(region, 164 * PAGE), 92 * PAGE, 7));
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(at(region, 64 * PAGE), 100 * PAGE) });
    assert!(holds_only(at(region, 64 * PAGE), 100 * PAGE, 0));
    fill(region.start, MIB, 8);
    assert!(holds_only(region.start, MIB, 8));
    // SAFETY: used by nobody.
    unsafe { source.release(region) };
}

#[test]
fn strict_memory_is_out_of_reach_unless_committed() {
    const { assert!(Mmap::COMMITS) };
    let source = Mmap::strict();
    let region = reserve(&source, 64 * MIB);
    let middle = at(region, 8 * MIB);
    let last = |start: NonNull<u8>, size: usize| at(region, start.addr().get() - region.start.addr().get() + size - 1);
    assert!(!is_accessible(region.start) && !is_accessible(middle));
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(middle, 10 * PAGE) });
    assert!(is_accessible(middle) && is_accessible(last(middle, 10 * PAGE)));
    assert!(!is_accessible(at(region, 8 * MIB - 1)) && !is_accessible(at(region, 8 * MIB + 10 * PAGE)));
    assert!(holds_only(middle, 10 * PAGE, 0));
    // "ac": counted against what the system may commit.
    assert!(smaps(middle, "VmFlags:").contains("ac"));
    fill(middle, 10 * PAGE, 9);
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(middle, 10 * PAGE) }, "once more changes nothing");
    assert!(holds_only(middle, 10 * PAGE, 9));
    // SAFETY: inside the region.
    assert!(unsafe { source.decommit(middle, 5 * PAGE) });
    assert!(!is_accessible(middle) && !is_accessible(last(middle, 5 * PAGE)));
    assert!(!smaps(middle, "VmFlags:").contains("ac"));
    assert!(holds_only(at(region, 8 * MIB + 5 * PAGE), 5 * PAGE, 9));
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(middle, 5 * PAGE) });
    assert!(holds_only(middle, 5 * PAGE, 0));
    // SAFETY: used by nobody.
    assert!(unmaps(region.start, PAGE, || unsafe { source.release(region) }));
}

#[test]
fn releasing_gives_the_addresses_back() {
    const { assert!(Mmap::RELEASES) };
    let source = Mmap::new();
    let region = reserve(&source, 16 * MIB);
    fill(region.start, MIB, 1);
    assert!(resident_pages(region.start, 16 * MIB).is_some());
    // SAFETY: used by nobody.
    assert!(unmaps(region.start, 16 * MIB, || unsafe { source.release(region) }));
}

#[test]
fn remapping_moves_pages_without_touching_them() {
    let source = Mmap::new();
    let region = reserve(&source, 64 * MIB);
    let size = Mmap::REMAPS_FROM;
    let (from, to) = (at(region, 4 * MIB), at(region, 32 * MIB));
    for page in 0..size / PAGE {
        fill(at(region, 4 * MIB + page * PAGE), PAGE, page as u8);
    }
    assert_eq!(resident_pages(to, size), Some(0));
    let before = minor_faults();
    // SAFETY: two ranges of the region, not overlapping, used by nobody else.
    assert!(unsafe { source.remap(from, to, size, size) });
    assert_eq!(resident_pages(from, size), Some(0), "the pages are still where they were: copied");
    assert_eq!(resident_pages(to, size), Some(size / PAGE), "the pages did not arrive");
    for page in 0..size / PAGE {
        assert!(holds_only(at(region, 32 * MIB + page * PAGE), PAGE, page as u8));
    }
    let faults = minor_faults() - before;
    assert!(faults < 100, "{faults} page faults for {} pages: copied", size / PAGE);
    assert!(holds_only(from, size, 0), "the old place reads as zero");
    fill(from, size, 5);
    assert!(holds_only(from, size, 5) && holds_only(at(region, 32 * MIB + PAGE), PAGE, 1), "two places, two memories");
    // SAFETY: used by nobody.
    assert!(unmaps(region.start, 64 * MIB, || unsafe { source.release(region) }));
}

#[test]
fn several_mappings_are_moved_in_parts() {
    let source = Mmap::new();
    let region = reserve(&source, 64 * MIB);
    // Pages are huge from 8 MiB on, and what is moved here becomes a mapping of its own.
    fill(region.start, MIB, 7);
    let odd = at(region, 10 * MIB + 5 * PAGE);
    // SAFETY: ranges of the region, not overlapping, used by nobody else.
    assert!(unsafe { source.remap(region.start, odd, MIB, MIB) });
    let size = 8 * MIB + PAGE;
    let (from, to) = (at(region, 4 * MIB), at(region, 32 * MIB));
    (0..size / PAGE).for_each(|page| fill(at(region, 4 * MIB + page * PAGE), PAGE, page as u8));
    let before = minor_faults();
    // SAFETY: as above.
    assert!(unsafe { source.remap(from, to, size, size) });
    let faults = minor_faults() - before;
    // What lies behind the piece is too short to be moved.
    assert!(faults < 400, "{faults} page faults for {} pages: copied", size / PAGE);
    assert!((0..size / PAGE).all(|page| holds_only(at(region, 32 * MIB + page * PAGE), PAGE, page as u8)));
    fill(from, size, 5);
    assert!(holds_only(from, size, 5) && holds_only(to, PAGE, 0), "two places, two memories");
    // SAFETY: as above; used by nobody in the end.
    unsafe {
        assert!(!source.remap(at(region, 1), to, MIB, MIB), "no whole pages");
        source.release(region);
    }
}

#[test]
fn big_blocks_grow_by_remapping() {
    let heap = Coreheap::new();
    let layout = Layout::from_size_align(16 * MIB, PAGE).expect("a layout");
    let block = heap.allocate(layout).expect("memory");
    for page in 0..16 * MIB / PAGE {
        // SAFETY: inside the block.
        fill(unsafe { block.add(page * PAGE) }, PAGE, page as u8);
    }
    // Keeps it from growing in place.
    let next = heap.allocate(layout).expect("memory");
    let before = minor_faults();
    // SAFETY: a block of this heap.
    let grown = unsafe { heap.reallocate(block, layout, 48 * MIB) }.expect("memory");
    assert_ne!(grown, block, "the test wants a move");
    let faults = minor_faults() - before;
    println!("{faults} page faults");
    assert!(faults < 1000, "{faults} page faults for {} pages: copied", 16 * MIB / PAGE);
    for page in 0..16 * MIB / PAGE {
        // SAFETY: inside the block.
        assert!(holds_only(unsafe { grown.add(page * PAGE) }, PAGE, page as u8));
    }
    // SAFETY: blocks of this heap.
    unsafe {
        heap.deallocate(grown, Layout::from_size_align(48 * MIB, PAGE).expect("a layout"));
        heap.deallocate(next, layout);
    }
    heap.assert_valid();
}

/// Starts threads that are all there at once, each with a block. A thread needs two mappings, and a process may have only so many.
fn start_threads(heap: &Coreheap) {
    const THREADS: usize = 16;
    let (all_are_there, layout) = (Barrier::new(THREADS), Layout::new::<[u8; 1000]>());
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn({
                let all_are_there = &all_are_there;
                move || {
                    let block = heap.allocate(layout).expect("memory");
                    fill(block, layout.size(), number as u8);
                    all_are_there.wait();
                    assert!(holds_only(block, layout.size(), number as u8));
                    // SAFETY: a block of this heap.
                    unsafe { heap.deallocate(block, layout) };
                }
            });
        }
    });
    heap.assert_valid();
}

/// Grows blocks step by step while others are in their way. Returns how many mappings of the process there were at most, and how many are left when all
/// memory has been given back.
fn mappings_of_growing_blocks(heap: &Coreheap, rounds: usize) -> (usize, usize) {
    const MOST: usize = if cfg!(target_pointer_width = "64") { 32 * MIB } else { 8 * MIB };
    let layout = |size: usize| Layout::from_size_align(size, PAGE).expect("a layout");
    let mut blocks: Vec<Option<(NonNull<u8>, usize)>> = vec![None; 64];
    let (mut rng, mut most) = (coreheap_tests::rng::Rng::new(1), 0);
    for round in 0..rounds {
        let index = rng.below(blocks.len());
        let size = blocks[index].map_or(0, |(_, size)| size) + MIB + rng.below(256) * PAGE;
        let block = match blocks[index].take() {
            None => heap.allocate(layout(size)),
            // SAFETY: blocks of this heap.
            Some((block, old)) if size > MOST => unsafe {
                heap.deallocate(block, layout(old));
                continue;
            },
            // SAFETY: as above.
            Some((block, old)) => unsafe {
                let block = heap.reallocate(block, layout(old), size).expect("memory");
                assert!(holds_only(block, 8, index as u8) && holds_only(block.add(old - 8), 8, index as u8));
                Some(block)
            },
        };
        let block = block.expect("memory");
        fill(block, 8, index as u8);
        // SAFETY: inside the block.
        fill(unsafe { block.add(size - 8) }, 8, index as u8);
        blocks[index] = Some((block, size));
        if round % 50 == 0 {
            most = most.max(mappings_in(0..usize::MAX));
        }
    }
    for (block, size) in blocks.into_iter().flatten() {
        // SAFETY: as above.
        unsafe { heap.deallocate(block, layout(size)) };
    }
    heap.purge();
    heap.assert_valid();
    (most, mappings_in(0..usize::MAX))
}

fn mappings_in(addresses: Range<usize>) -> usize {
    bounds_in(addresses).len()
}

/// Where the mappings begin and end that have some of these addresses.
fn bounds_in(addresses: Range<usize>) -> Vec<(usize, usize)> {
    let list = std::fs::read_to_string("/proc/self/maps").expect("a list");
    let bounds = list.lines().filter_map(|line| line.split(' ').next()?.split_once('-'));
    let number = |text| usize::from_str_radix(text, 16).expect("a number");
    let bounds = bounds.map(|(start, end)| (number(start), number(end)));
    bounds.filter(|(start, end)| *start < addresses.end && addresses.start < *end).collect()
}

#[test]
fn growing_blocks_leave_few_mappings() {
    let rounds = if is_emulated() { 100 } else { 1500 };
    let work = || {
        // No other test's thread makes or ends mappings here.
        let (heap, before) = (Coreheap::new(), mappings_in(0..usize::MAX));
        let (most, left) = mappings_of_growing_blocks(&heap, rounds);
        // Mappings that a child has from its parent do not become one again.
        let in_child_as_well = in_child(|| {
            let (most, _) = mappings_of_growing_blocks(&heap, rounds);
            start_threads(&heap);
            most < before + 300
        });
        start_threads(&heap);
        most < before + 220 && left < before + 80 && in_child_as_well
    };
    assert!(in_child(work));
}

#[test]
fn moved_pages_that_are_given_back_leave_no_mapping() {
    let source = Mmap::new();
    let region = reserve(&source, 64 * MIB);
    fill(region.start, 7 * MIB, 1);
    fill(at(region, 16 * MIB), 40 * MIB, 1);
    let mappings = || mappings_in(region.start.addr().get()..region.start.addr().get() + region.size);
    let before = mappings();
    // SAFETY: ranges of the region, not overlapping, used by nobody else.
    unsafe {
        for to in [20, 30, 40] {
            assert!(source.remap(at(region, MIB), at(region, to * MIB), 3 * MIB, 4 * MIB));
        }
        assert!(mappings() > before);
        // In two parts from its start, in two from its end, and moved on.
        for (start, size) in [(20, 1), (21, 3), (32, 2), (30, 2)] {
            assert!(source.decommit(at(region, start * MIB), size * MIB));
        }
        assert!(source.remap(at(region, 40 * MIB), at(region, 50 * MIB), 4 * MIB, 4 * MIB));
        assert!(source.decommit(at(region, 48 * MIB), 8 * MIB));
        assert_eq!(mappings(), before);
        source.release(region);
    }
}

/// Where a region's ends are in small pages and its middle in huge ones, and where it ends itself, a mapping ends for good.
#[test]
fn what_is_given_back_at_the_ends_of_a_region_changes_no_mapping() {
    let source = Mmap::new();
    let region = reserve(&source, 64 * MIB);
    fill(region.start, 64 * MIB, 1);
    let bounds = || bounds_in(region.start.addr().get()..region.start.addr().get() + region.size);
    let before = bounds();
    // SAFETY: ranges of the region, not overlapping, used by nobody else.
    unsafe {
        assert!(source.remap(at(region, 20 * MIB), at(region, 30 * MIB), 3 * MIB, 3 * MIB));
        let kib = MIB / 1024;
        for (start, size) in
            [(7 * MIB, MIB), (5 * MIB, 2 * MIB), (0, 64 * kib), (64 * MIB - 64 * kib, 64 * kib), (55 * MIB, 2 * MIB)]
        {
            assert!(source.decommit(at(region, start), size));
        }
        assert!(source.decommit(at(region, 30 * MIB), 3 * MIB));
        assert_eq!(bounds(), before);
        source.release(region);
    }
}

#[test]
fn the_clock_goes_forward() {
    let source = Mmap::new();
    let first = source.now_ms();
    assert!(first > 0);
    std::thread::sleep(std::time::Duration::from_millis(60));
    let passed = source.now_ms() - first;
    assert!((40..5000).contains(&passed), "{passed} ms");
}

#[test]
fn errno_is_kept() {
    let source = Mmap::strict();
    let errno = |expected: Option<i32>| {
        // SAFETY: this thread's own variable.
        unsafe {
            if let Some(expected) = expected {
                assert_eq!(*libc::__errno_location(), expected);
            }
            *libc::__errno_location() = 77;
        }
    };
    errno(None);
    assert!(source.reserve(RegionRequest { min_size: usize::MAX - MIB, preferred_size: 1, preferred_align: PAGE }).is_none());
    errno(Some(77));
    let region = reserve(&source, MIB);
    // SAFETY: a region of this source; moving onto what is not mapped is refused.
    unsafe {
        assert!(source.commit(region.start, MIB));
        errno(Some(77));
        source.remap(region.start, at(region, PAGE), PAGE, PAGE);
        errno(Some(77));
        source.decommit(region.start, MIB);
        errno(Some(77));
        source.now_ms();
        Mmap::new().remap(at(region, 8 * PAGE), at(region, 16 * PAGE), 0, 0);
        source.release(region);
        errno(Some(77));
    }
}

#[test]
fn a_heap_that_is_dropped_releases_its_regions() {
    let heap = Coreheap::new();
    let block = heap.allocate(Layout::from_size_align(3 * MIB, 8).expect("a layout")).expect("memory");
    fill(block, 3 * MIB, 1);
    let page = NonNull::new(std::ptr::without_provenance_mut(block.addr().get() & !(PAGE - 1))).expect("not null");
    assert!(resident_pages(page, 2 * MIB).is_some());
    assert!(unmaps(page, 2 * MIB, || drop(heap)));
}

#[cfg(target_pointer_width = "64")]
#[test]
fn a_huge_block_has_no_tables_and_goes_back() {
    let heap = coreheap_os::OsHeap::with_source(Mmap::new());
    let layout = Layout::from_size_align(100 << 30, 16).expect("a layout");
    // A system that does not overcommit refuses.
    let Some(block) = heap.allocate_zeroed(layout) else { return };
    // SAFETY: both ends of the block.
    unsafe {
        assert_eq!((block.read(), block.add(layout.size() - 1).read()), (0, 0));
        block.write(1);
    }
    let stats = heap.stats();
    assert!(stats.large == (1, layout.size()) && stats.metadata < 4 * MIB, "{stats}");
    // SAFETY: a live block of this layout.
    assert!(unmaps(block, MIB, || unsafe { heap.deallocate(block, layout) }));
    let impossible = Layout::from_size_align(1 << 60, 16).expect("a layout");
    assert!(heap.allocate(impossible).is_none() && heap.stats().large == (0, 0));
}
