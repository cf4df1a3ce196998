//! Each ability that `Mmap` states, seen to happen.

#![cfg(target_os = "linux")]

mod large_pages;
mod nodes;
#[path = "../regions/mod.rs"]
mod regions;
mod remap;
mod support;

use std::alloc::Layout;
use std::ptr::{NonNull, null_mut, with_exposed_provenance_mut};

use coreheap_os::coreheap::{PageSource, Region, RegionRequest};
use coreheap_os::{Coreheap, Mmap, OsHeap};
use coreheap_tests::watched::{Ledger, Watched};

use regions::{at, fill, holds_only};
use support::{MIB, is_accessible, is_emulated, page, reserve, resident_pages, smaps, under_limit, unmaps};

#[test]
fn reserves_what_is_preferred_at_the_preferred_alignment() {
    let source = Mmap::new();
    for align in [page(), 64 * 1024, 2 * MIB, 1 << 30] {
        for size in [1, page(), 3 * page() + 1, 5 * MIB] {
            let region = source
                .reserve(RegionRequest { min_size: 1, preferred_size: size, preferred_align: align, is_for_one_block: false })
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

/// The flags that stand for "huge pages, please" and "no huge pages", at so many bytes from the start.
fn huge_page_flags(region: &Region, offset: usize) -> (bool, bool) {
    // SAFETY: inside the region.
    let flags = smaps(unsafe { region.start.add(offset) }, "VmFlags:");
    let has = |flag| flags.split(' ').any(|found| found == flag);
    (has("hg"), has("nh"))
}

#[test]
fn there_are_no_huge_pages_where_a_part_of_one_went_back() {
    const ASKED: (bool, bool) = (true, false);
    const FORBIDDEN: (bool, bool) = (false, true);
    let source = Mmap::new();
    let region = reserve(&source, 64 * MIB);
    // So that huge pages begin where they would in a heap.
    let first = region.start.addr().get().wrapping_neg() % (2 * MIB) + 16 * MIB;
    if huge_page_flags(&region, first) != ASKED {
        assert!(is_emulated() || cfg!(target_pointer_width = "32"), "huge pages are asked for");
        return;
    }
    let huge_page = |number: usize| huge_page_flags(&region, first + number * 2 * MIB);
    // SAFETY: inside the region, and used by nobody.
    let decommit = |offset: usize, size: usize| assert!(unsafe { source.decommit(region.start.add(offset), size) });
    // SAFETY: as above.
    let discard = |offset: usize, size: usize| assert!(unsafe { source.discard(region.start.add(offset), size) });
    decommit(first + 64 * 1024, 64 * 1024);
    assert_eq!([0, 1].map(huge_page), [FORBIDDEN, ASKED]);
    // A part of either end, and all between.
    decommit(first + 3 * MIB, 6 * MIB);
    assert_eq!([1, 2, 3, 4, 5].map(huge_page), [FORBIDDEN, ASKED, ASKED, FORBIDDEN, ASKED]);
    discard(first + 11 * MIB, page());
    assert_eq!(huge_page(5), FORBIDDEN);
    decommit(first, 12 * MIB);
    assert_eq!([0, 1, 4, 5].map(huge_page), [ASKED; 4]);
    // Neither is said of the ends.
    decommit(0, 4 * MIB);
    assert_eq!(huge_page_flags(&region, 0), (false, false));
    // SAFETY: nobody uses it.
    unsafe { source.release(region) };
}

#[test]
fn reserves_less_than_preferred_where_there_is_a_limit() {
    assert!(under_limit(100 * MIB, || {
        let region = Mmap::new().reserve(RegionRequest {
            min_size: MIB,
            preferred_size: 1 << 30,
            preferred_align: page(),
            is_for_one_block: false,
        });
        // A 16th of all that the process may map, what it has included, if that fits: others need addresses as well.
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a valid place for the answer.
        unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
        #[allow(clippy::useless_conversion, reason = "the type differs by system")]
        let limit = u64::try_from(limit.rlim_cur).expect("a limit");
        let (is_small, share) = (limit < 4 << 30, limit as usize / 16);
        Mmap::new().has_few_addresses() == is_small
            && region.is_some_and(|region| region.size < if is_small { share + Mmap::OS_PAGE_SIZE } else { 100 * MIB })
    }));
    assert!(under_limit(100 * MIB, || {
        // With room for the size only, the alignment is given up.
        let region = Mmap::new().reserve(RegionRequest {
            min_size: 70 * MIB,
            preferred_size: 70 * MIB,
            preferred_align: 1 << 30,
            is_for_one_block: false,
        });
        region.is_some_and(|region| region.size == 70 * MIB)
    }));
    assert!(under_limit(1100 * MIB, || {
        // It is given up before the size is.
        let region = Mmap::new().reserve(RegionRequest {
            min_size: 1 << 30,
            preferred_size: 1 << 30,
            preferred_align: 1 << 30,
            is_for_one_block: false,
        });
        region.is_some_and(|region| region.size == 1 << 30)
    }));
    assert!(under_limit(100 * MIB, || {
        Mmap::new()
            .reserve(RegionRequest {
                min_size: 128 * MIB,
                preferred_size: 1 << 30,
                preferred_align: page(),
                is_for_one_block: false,
            })
            .is_none()
    }));
    assert!(
        Mmap::new()
            .reserve(RegionRequest {
                min_size: usize::MAX,
                preferred_size: usize::MAX,
                preferred_align: page(),
                is_for_one_block: false
            })
            .is_none()
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
    assert!(holds_only(at(region, 100 * MIB), 64 * page(), 0));
    fill(at(region, 200 * MIB), 64 * page(), 1);
    assert_eq!(resident_pages(at(region, 200 * MIB), 64 * page()), Some(64));
    // SAFETY: used by nobody.
    unsafe { source.release(region) };
}

#[test]
fn decommitting_returns_pages_and_reads_as_zero() {
    const { assert!(Mmap::DECOMMITS && Mmap::DECOMMITTED_IS_ZERO) };
    let source = Mmap::new();
    let size = 256 * page();
    let region = reserve(&source, size);
    fill(region.start, size, 7);
    // SAFETY: inside the region.
    assert!(unsafe { source.decommit(at(region, 64 * page()), 100 * page()) });
    assert_eq!(resident_pages(at(region, 64 * page()), 100 * page()), Some(0));
    assert_eq!(resident_pages(region.start, size), Some(156));
    assert!(holds_only(region.start, 64 * page(), 7));
    assert!(holds_only(at(region, 164 * page()), 92 * page(), 7));
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(at(region, 64 * page()), 100 * page()) });
    assert!(holds_only(at(region, 64 * page()), 100 * page(), 0));
    fill(region.start, size, 8);
    assert!(holds_only(region.start, size, 8));
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
    assert!(unsafe { source.commit(middle, 10 * page()) });
    assert!(is_accessible(middle) && is_accessible(last(middle, 10 * page())));
    assert!(!is_accessible(at(region, 8 * MIB - 1)) && !is_accessible(at(region, 8 * MIB + 10 * page())));
    assert!(holds_only(middle, 10 * page(), 0));
    // "ac": counted against what the system may commit.
    assert!(smaps(middle, "VmFlags:").contains("ac"));
    fill(middle, 10 * page(), 9);
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(middle, 10 * page()) }, "once more changes nothing");
    assert!(holds_only(middle, 10 * page(), 9));
    // SAFETY: inside the region.
    assert!(unsafe { source.decommit(middle, 5 * page()) });
    assert!(!is_accessible(middle) && !is_accessible(last(middle, 5 * page())));
    assert!(!smaps(middle, "VmFlags:").contains("ac"));
    assert!(holds_only(at(region, 8 * MIB + 5 * page()), 5 * page(), 9));
    // SAFETY: inside the region.
    assert!(unsafe { source.commit(middle, 5 * page()) });
    assert!(holds_only(middle, 5 * page(), 0));
    // SAFETY: used by nobody.
    assert!(unmaps(region.start, page(), || unsafe { source.release(region) }));
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
    assert!(
        source
            .reserve(RegionRequest {
                min_size: usize::MAX - MIB,
                preferred_size: 1,
                preferred_align: page(),
                is_for_one_block: false
            })
            .is_none()
    );
    errno(Some(77));
    let region = reserve(&source, MIB);
    // SAFETY: a region of this source.
    unsafe {
        assert!(source.commit(region.start, MIB));
        errno(Some(77));
        assert!(source.remap(region, usize::MAX - MIB).is_none());
        errno(Some(77));
        source.decommit(region.start, MIB);
        errno(Some(77));
        source.now_ms();
        source.release(region);
        errno(Some(77));
    }
}

#[test]
fn a_heap_that_is_dropped_releases_its_regions() {
    let heap = Coreheap::new();
    let block = heap.allocate(Layout::from_size_align(3 * MIB, 8).expect("a layout")).expect("memory");
    fill(block, 3 * MIB, 1);
    let page = NonNull::new(std::ptr::without_provenance_mut(block.addr().get() & !(page() - 1))).expect("not null");
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
