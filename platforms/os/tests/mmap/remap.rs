//! Regions that are given another size, and the blocks in them.

use std::alloc::Layout;
use std::ptr::NonNull;

use coreheap_os::coreheap::{PageSource, Region, RegionRequest};
use coreheap_os::{Coreheap, Mmap};

use crate::regions::{at, fill, holds_only};
use crate::support::{MIB, in_child, is_emulated, minor_faults, page, resident_pages, unmaps};

/// A region that is one mapping, of exactly this size.
pub fn reserve_for_block(source: &Mmap, size: usize) -> Region {
    let request = RegionRequest { min_size: size, preferred_size: size, preferred_align: page(), is_for_one_block: true };
    let region = source.reserve(request).expect("memory");
    // SAFETY: the region, used by nobody else.
    assert!(unsafe { source.commit(region.start, size) });
    region
}

#[test]
fn a_region_is_remapped_without_touching_its_pages() {
    for source in [Mmap::new(), Mmap::strict()] {
        let region = reserve_for_block(&source, 8 * MIB);
        (0..8 * MIB / page()).for_each(|number| fill(at(region, number * page()), page(), number as u8));
        let before = minor_faults();
        // SAFETY: the region as it is, used by nobody else.
        let grown = unsafe { source.remap(region, 64 * MIB) }.expect("memory");
        assert_eq!((grown.size, source.reserved().in_usual_pages), (64 * MIB, 64 * MIB));
        let faults = minor_faults() - before;
        assert!(is_emulated() || faults < 100, "{faults} page faults for {} pages: copied", 8 * MIB / page());
        assert!((0..8 * MIB / page()).all(|number| holds_only(at(grown, number * page()), page(), number as u8)));
        assert_eq!(resident_pages(at(grown, 8 * MIB), 56 * MIB), Some(0), "nobody has touched it");
        fill(at(grown, 60 * MIB), 4 * MIB, 3);
        let end = at(grown, 32 * MIB);
        // SAFETY: as above; and in the end used by nobody.
        unsafe {
            let shorter = source.remap(grown, 4 * MIB).expect("its start");
            assert!(holds_only(at(shorter, page()), page(), 1) && resident_pages(end, page()).is_none(), "its end is unmapped");
            assert!(
                source.remap(shorter, usize::MAX - MIB).is_none() && holds_only(at(shorter, page()), page(), 1),
                "nothing happened"
            );
            assert!(unmaps(shorter.start, 4 * MIB, || source.release(shorter)));
            assert_eq!(source.reserved().in_usual_pages, 0);
        }
    }
}

/// Where it cannot grow in place it moves, to whole OS pages as heaps count them.
#[test]
fn a_region_moves_out_of_the_way() {
    let source = Mmap::new();
    // Each has a neighbour behind or before it.
    let mut regions: Vec<_> = (0..8).map(|_| reserve_for_block(&source, MIB)).collect();
    for round in 1..=4 {
        for (number, region) in regions.iter_mut().enumerate() {
            fill(region.start, MIB, number as u8);
            let size = region.size + Mmap::OS_PAGE_SIZE * (1 + number % 3) + round * MIB;
            // SAFETY: the region as it is, used by nobody else.
            let grown = unsafe { source.remap(*region, size) }.expect("memory");
            assert!(grown.size == size && grown.start.addr().get().is_multiple_of(Mmap::OS_PAGE_SIZE), "{grown:?}");
            assert!(holds_only(grown.start, MIB, number as u8));
            fill(at(grown, size - 8), 8, 9);
            *region = grown;
        }
    }
    for region in regions {
        // SAFETY: used by nobody.
        assert!(unmaps(region.start, region.size / page() * page(), || unsafe { source.release(region) }));
    }
    assert_eq!(source.reserved().in_usual_pages, 0);
}

/// In whatever steps a block grows, its pages are moved and not copied once it has a region, and it leaves no addresses behind.
#[test]
fn long_blocks_grow_by_remapping() {
    const MOST: usize = if cfg!(target_pointer_width = "64") { 1024 * MIB } else { 128 * MIB };
    let heap = Coreheap::new();
    let layout = |size| Layout::from_size_align(size, 16).expect("a layout");
    let mut size = 40 * MIB;
    let mut block = heap.allocate(layout(size)).expect("memory");
    let others = heap.stats().reserved - size;
    fill(block, 40 * MIB, 7);
    let faults = minor_faults();
    while size < MOST {
        let new = size + size / 8;
        // SAFETY: a block of this heap.
        block = unsafe { heap.reallocate(block, layout(size), new) }.expect("memory");
        size = new;
        assert!(heap.stats().reserved - others < size + MIB, "it leaves no addresses behind");
    }
    assert!(is_emulated() || minor_faults() - faults < 1000, "copied");
    assert!(holds_only(block, 40 * MIB, 7));
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout(size)) };
    heap.assert_valid();
}

/// Other memory stays as it is while blocks grow past each other, and there are as many mappings as blocks.
#[test]
fn long_blocks_make_a_mapping_each() {
    let mappings = || std::fs::read_to_string("/proc/self/maps").expect("a list").lines().count();
    let work = || {
        let (heap, layout) = (Coreheap::new(), |size: usize| Layout::from_size_align(size, 16).expect("a layout"));
        let _first = heap.allocate(layout(10)).expect("memory");
        let before = mappings();
        let mut blocks: Vec<Option<(NonNull<u8>, usize)>> = vec![None; 8];
        let mut rng = coreheap_tests::rng::Rng::new(1);
        for _ in 0..400 {
            let index = rng.below(blocks.len());
            let size = blocks[index].map_or(33 * MIB, |(_, size)| size + MIB + rng.below(256) * page());
            let block = match blocks[index].take() {
                None => heap.allocate(layout(size)),
                // SAFETY: blocks of this heap.
                Some((block, old)) if size > 64 * MIB => unsafe {
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
            assert!(mappings() < before + 2 * blocks.len() + 8);
        }
        for (block, size) in blocks.into_iter().flatten() {
            // SAFETY: as above.
            unsafe { heap.deallocate(block, layout(size)) };
        }
        heap.assert_valid();
        mappings() < before + 8
    };
    // No other test's thread makes or ends mappings there.
    assert!(in_child(work));
}

/// One byte in each MiB of a long block is a page in each, not a huge one.
#[test]
fn what_is_used_sparsely_stays_sparse() {
    let heap = Coreheap::new();
    let layout = Layout::from_size_align(256 * MIB, 16).expect("a layout");
    let block = heap.allocate_zeroed(layout).expect("memory");
    // SAFETY: inside the block.
    (0..256).for_each(|part| fill(unsafe { block.add(part * MIB) }, 1, 1));
    if !std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok_and(|mode| mode.contains("[always]")) {
        assert!(resident_pages(block, 256 * MIB).is_some_and(|pages| pages <= 256));
    }
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout) };
}
