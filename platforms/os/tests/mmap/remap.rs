//! Pages that are moved, and the mappings that they leave.

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Barrier;
use std::thread;

use coreheap_os::coreheap::PageSource;
use coreheap_os::{Coreheap, Mmap};

use crate::regions::{at, fill, holds_only};
use crate::support::{MIB, PAGE, in_child, is_emulated, minor_faults, reserve, resident_pages, unmaps};

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
