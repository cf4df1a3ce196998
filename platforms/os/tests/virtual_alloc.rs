//! Each ability that `VirtualAlloc` states, seen to happen.

#![cfg(windows)]

mod regions;

use std::ptr::NonNull;

use coreheap_os::coreheap::{PageSource, Region, RegionRequest};
use coreheap_os::{Coreheap, LargePages, VirtualAlloc};
use regions::{at, fill, holds_only};
use windows_sys::Win32::Foundation::{GetLastError, SetLastError};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_FREE, MEM_RESERVE, MEMORY_BASIC_INFORMATION, VIRTUAL_ALLOCATION_TYPE, VirtualQuery,
};
use windows_sys::Win32::System::ProcessStatus::{K32QueryWorkingSetEx, PSAPI_WORKING_SET_EX_INFORMATION};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

const PAGE: usize = VirtualAlloc::OS_PAGE_SIZE;
const GRANULARITY: usize = 64 << 10;
const MIB: usize = 1 << 20;

fn request(preferred_size: usize) -> RegionRequest {
    RegionRequest { min_size: PAGE, preferred_size, preferred_align: PAGE, is_for_one_block: false }
}

fn reserve(size: usize) -> Region {
    let region = VirtualAlloc.reserve(request(size)).expect("address space");
    assert!(region.size >= size);
    region
}

/// Whether all of a range is free, reserved or committed, as the system says.
fn is_all(start: NonNull<u8>, size: usize, state: VIRTUAL_ALLOCATION_TYPE) -> bool {
    let mut passed = 0;
    while passed < size {
        let mut found = MEMORY_BASIC_INFORMATION::default();
        let here = start.as_ptr().wrapping_add(passed);
        // SAFETY: a place for the answer, as big as is said.
        let written = unsafe { VirtualQuery(here.cast(), &mut found, size_of_val(&found)) };
        assert_eq!(written, size_of_val(&found), "the system knows {here:?}");
        if found.State != state {
            return false;
        }
        passed += found.RegionSize - (here.addr() - found.BaseAddress.addr());
    }
    true
}

/// How many pages of a range are in RAM, for this process.
fn pages_in_working_set(start: NonNull<u8>, size: usize) -> usize {
    let page = |offset| PSAPI_WORKING_SET_EX_INFORMATION {
        VirtualAddress: start.as_ptr().wrapping_add(offset).cast(),
        ..Default::default()
    };
    let mut pages: Vec<_> = (0..size).step_by(PAGE).map(page).collect();
    // SAFETY: questions, and places for the answers, as many as is said.
    let is_known =
        unsafe { K32QueryWorkingSetEx(GetCurrentProcess(), pages.as_mut_ptr().cast(), size_of_val(&pages[..]) as u32) };
    assert_ne!(is_known, 0);
    // The lowest bit says that the page is valid.
    // SAFETY: the system wrote flags.
    pages.iter().filter(|page| unsafe { page.VirtualAttributes.Flags } & 1 == 1).count()
}

#[test]
fn windows_is_as_the_source_believes() {
    // SAFETY: a place for the answer.
    let system = unsafe {
        let mut system: SYSTEM_INFO = std::mem::zeroed();
        GetSystemInfo(&mut system);
        system
    };
    assert_eq!((system.dwPageSize as usize, system.dwAllocationGranularity as usize), (PAGE, GRANULARITY));
}

#[test]
fn reserves_what_is_preferred_at_the_preferred_alignment() {
    for align in [PAGE, GRANULARITY, 2 * MIB, 1 << 30] {
        for size in [1, PAGE, GRANULARITY + 1, 5 * MIB] {
            let wish = RegionRequest { min_size: 1, preferred_size: size, preferred_align: align, is_for_one_block: false };
            let region = VirtualAlloc.reserve(wish).expect("address space");
            assert_eq!(region.size, size.next_multiple_of(GRANULARITY));
            assert!(region.start.addr().get().is_multiple_of(align.max(GRANULARITY)), "{region:?} at {align}");
            assert!(is_all(region.start, region.size, MEM_RESERVE));
            // SAFETY: used by nobody.
            unsafe { VirtualAlloc.release(region) };
            assert!(is_all(region.start, region.size, MEM_FREE), "what was reserved for the alignment stays");
        }
    }
}

#[test]
fn refuses_what_no_system_has() {
    let far_aligned = RegionRequest { preferred_align: 1 << (usize::BITS - 1), ..request(MIB) };
    for wish in [far_aligned, request(usize::MAX)] {
        let region = VirtualAlloc.reserve(wish).expect("alignment and preferred size are wishes");
        assert!(is_all(region.start, region.size, MEM_RESERVE));
        // SAFETY: used by nobody.
        unsafe { VirtualAlloc.release(region) };
    }
    // A half of all addresses is the system's, and something lies in the other.
    for min_size in [1usize.checked_shl(47).unwrap_or(1 << 31), usize::MAX / 2, usize::MAX] {
        let wish = RegionRequest { min_size, preferred_size: min_size, preferred_align: PAGE, is_for_one_block: false };
        assert!(VirtualAlloc.reserve(wish).is_none() && LargePages.reserve(wish).is_none(), "{min_size}");
    }
}

#[test]
fn memory_is_out_of_reach_unless_committed() {
    const { assert!(VirtualAlloc::COMMITS && VirtualAlloc::FRESH_IS_ZERO) };
    let region = reserve(64 * MIB);
    let middle = at(region, 8 * MIB);
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.commit(middle, 10 * PAGE) });
    assert!(is_all(middle, 10 * PAGE, MEM_COMMIT));
    assert!(is_all(region.start, 8 * MIB, MEM_RESERVE));
    assert!(is_all(at(region, 8 * MIB + 10 * PAGE), 50 * MIB, MEM_RESERVE));
    assert!(holds_only(middle, 10 * PAGE, 0));
    fill(middle, 10 * PAGE, 9);
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.commit(at(region, 8 * MIB - PAGE), 20 * PAGE) }, "once more changes nothing");
    assert!(holds_only(middle, 10 * PAGE, 9) && holds_only(at(region, 8 * MIB + 10 * PAGE), 9 * PAGE, 0));
    // SAFETY: used by nobody; what is not reserved cannot be committed.
    unsafe {
        VirtualAlloc.release(region);
        assert!(!VirtualAlloc.commit(middle, PAGE));
    }
}

#[test]
fn decommitted_memory_is_gone_and_comes_back_as_zero() {
    const { assert!(VirtualAlloc::DECOMMITS && VirtualAlloc::DECOMMITTED_IS_ZERO) };
    let region = reserve(MIB);
    let (first, middle) = (region.start, at(region, 64 * PAGE));
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.commit(first, MIB) });
    fill(first, MIB, 7);
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.decommit(middle, 100 * PAGE) && VirtualAlloc.decommit(first, 0) });
    assert!(is_all(middle, 100 * PAGE, MEM_RESERVE));
    assert!(holds_only(first, 64 * PAGE, 7) && holds_only(at(region, 164 * PAGE), 92 * PAGE, 7));
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.commit(middle, 100 * PAGE) });
    assert!(holds_only(middle, 100 * PAGE, 0));
    fill(first, MIB, 8);
    assert!(holds_only(first, MIB, 8));
    // SAFETY: used by nobody.
    unsafe { VirtualAlloc.release(region) };
}

#[test]
fn discarded_memory_stays_usable() {
    const { assert!(VirtualAlloc::DISCARDS) };
    let region = reserve(16 * MIB);
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.commit(region.start, 16 * MIB) });
    fill(region.start, 16 * MIB, 7);
    assert_eq!(pages_in_working_set(region.start, 16 * MIB), 16 * MIB / PAGE);
    // SAFETY: inside the region.
    assert!(unsafe { VirtualAlloc.discard(at(region, MIB), 14 * MIB) });
    assert_eq!(pages_in_working_set(region.start, 16 * MIB), 2 * MIB / PAGE);
    assert!(is_all(region.start, 16 * MIB, MEM_COMMIT));
    assert!(holds_only(region.start, MIB, 7) && holds_only(at(region, 15 * MIB), MIB, 7));
    fill(region.start, 16 * MIB, 8);
    assert!(holds_only(region.start, 16 * MIB, 8));
    // SAFETY: used by nobody.
    unsafe { VirtualAlloc.release(region) };
}

#[test]
fn large_pages_are_committed_whole() {
    let wish = RegionRequest { min_size: 3 * MIB, preferred_size: 1 << 40, preferred_align: PAGE, is_for_one_block: false };
    let region = LargePages.reserve(wish).expect("large pages, or small ones");
    assert!((3 * MIB..=64 * MIB).contains(&region.size) && is_all(region.start, region.size, MEM_COMMIT));
    assert!(holds_only(region.start, 3 * MIB, 0));
    fill(region.start, 3 * MIB, 1);
    // SAFETY: used by nobody.
    unsafe { LargePages.release(region) };
    assert!(is_all(region.start, region.size, MEM_FREE));
}

#[test]
fn a_heap_that_is_dropped_releases_its_regions() {
    let heap = Coreheap::new();
    let layout = std::alloc::Layout::from_size_align(3 * MIB, PAGE).expect("a layout");
    let block = heap.allocate(layout).expect("memory");
    fill(block, 3 * MIB, 1);
    assert!(is_all(block, 3 * MIB, MEM_COMMIT));
    // SAFETY: a block of this heap, used no more.
    unsafe { heap.deallocate(block, layout) };
    heap.purge();
    assert!(is_all(block, 3 * MIB, MEM_RESERVE), "a purge decommits");
    drop(heap);
    assert!(is_all(block, 3 * MIB, MEM_FREE));
}

#[test]
fn the_clock_goes_forward() {
    let first = VirtualAlloc.now_ms();
    assert!(first > 0);
    std::thread::sleep(std::time::Duration::from_millis(60));
    let passed = VirtualAlloc.now_ms() - first;
    assert!((40..5000).contains(&passed), "{passed} ms");
}

#[test]
fn the_last_error_is_kept() {
    let kept = |what: &str| {
        // SAFETY: this thread's own variable.
        unsafe {
            assert_eq!(GetLastError(), 1234, "{what}");
        }
    };
    // SAFETY: this thread's own variable.
    unsafe { SetLastError(1234) };
    assert!(VirtualAlloc.reserve(RegionRequest { min_size: usize::MAX / 2, ..request(1) }).is_none());
    kept("a reservation that is refused");
    let region = reserve(MIB);
    // SAFETY: a region of the source, and what is none any more.
    unsafe {
        assert!(VirtualAlloc.commit(region.start, MIB) && VirtualAlloc.discard(region.start, MIB));
        kept("pages that were not locked");
        VirtualAlloc.release(region);
        assert!(!VirtualAlloc.commit(region.start, MIB) && !VirtualAlloc.decommit(region.start, MIB));
        VirtualAlloc.release(region);
        kept("what is no region");
        VirtualAlloc.now_ms();
        LargePages.release(LargePages.reserve(request(1)).expect("memory"));
        kept("a privilege that is not held");
    }
    let heap = Coreheap::new();
    heap.allocate(std::alloc::Layout::new::<u64>()).expect("memory");
    drop(heap);
    kept("a heap's first use and its end");
}
