//! [`VirtualAlloc`]: memory from the system's `VirtualAlloc`.
//!
//! *Role*: the page source of [`Coreheap`](crate::Coreheap) on Windows, which never overcommits: a region is reserved, which costs nothing
//! but addresses, and what is committed of it counts against what memory and paging file can hold. A refused commit is a refused
//! allocation, also while the system is about to enlarge the paging file: nothing here waits for that.
//!
//! *Contexts*: every call may be made from any thread; nothing allocates, nothing is locked but for the system's own look for a
//! function when a region is reserved, and `GetLastError` is kept.

use core::ffi::c_void;
use core::ptr::{NonNull, null, null_mut};

use coreheap::{PageSource, Region, RegionRequest};
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Memory::{
    MEM_ADDRESS_REQUIREMENTS, MEM_COMMIT, MEM_DECOMMIT, MEM_EXTENDED_PARAMETER, MEM_EXTENDED_PARAMETER_0,
    MEM_EXTENDED_PARAMETER_1, MEM_RELEASE, MEM_RESERVE, MEM_RESET, MemExtendedParameterAddressRequirements, PAGE_READWRITE,
    VIRTUAL_ALLOCATION_TYPE, VirtualFree, VirtualUnlock,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::Win32::System::{Memory, SystemInformation::GetTickCount64};

use super::last_error::LastError;
use super::library::find;
use crate::sizes::sizes_to_try;

/// Regions start and end at multiples of this, on every Windows.
pub const GRANULARITY: usize = 64 << 10;

/// A page source over `VirtualAlloc`.
///
/// | ability | how |
/// |---|---|
/// | reserve | `MEM_RESERVE` of the preferred size, or half of it, and so on down to the least, in units of 64 KiB; aligned to more than that by `VirtualAlloc2` (Windows 10, version 1803), else not |
/// | commit | `MEM_COMMIT` |
/// | decommit | `MEM_DECOMMIT` |
/// | discard | `MEM_RESET`, and the pages leave the working set |
/// | release | `MEM_RELEASE` |
/// | zero | fresh and decommitted memory reads as zero |
///
/// Windows neither extends a region nor moves pages. For large pages see [`LargePages`](crate::LargePages).
#[derive(Clone, Copy, Debug, Default)]
pub struct VirtualAlloc;

impl VirtualAlloc {
    /// Keeps nothing: the system knows its regions.
    pub const fn new() -> Self {
        VirtualAlloc
    }
}

// SAFETY: a region is a fresh reservation, so it is nobody else's; the abilities are the system's, see the table.
unsafe impl PageSource for VirtualAlloc {
    const FRESH_IS_ZERO: bool = true;
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DECOMMITTED_IS_ZERO: bool = true;
    const DISCARDS: bool = true;
    const RELEASES: bool = true;
    const OS_PAGE_SIZE: usize = 4096;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let _kept = LastError::keep();
        // The alignment is only a wish: a smaller region is worse than one that starts elsewhere.
        let reserve = |size| reserve_aligned(size, request.preferred_align).or_else(|| new_region(size, MEM_RESERVE));
        sizes_to_try(&request, GRANULARITY).find_map(|size| Some(Region { start: reserve(size)?, size }))
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        let _kept = LastError::keep();
        // SAFETY: a part of a region of ours. What was committed before keeps its contents.
        unsafe { !Memory::VirtualAlloc(start.as_ptr().cast(), size, MEM_COMMIT, PAGE_READWRITE).is_null() }
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        let _kept = LastError::keep();
        // To the system a size of 0 is the whole region.
        // SAFETY: a part of a region of ours whose contents nobody uses.
        size == 0 || unsafe { VirtualFree(start.as_ptr().cast(), size, MEM_DECOMMIT) != 0 }
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        let _kept = LastError::keep();
        // SAFETY: a part of a region of ours whose contents nobody uses. The protection only has to be a valid one.
        unsafe {
            let is_reset = !Memory::VirtualAlloc(start.as_ptr().cast(), size, MEM_RESET, PAGE_READWRITE).is_null();
            if is_reset {
                // Pages that are not locked leave the working set by this, now and not only when memory is short.
                VirtualUnlock(start.as_ptr().cast(), size);
            }
            is_reset
        }
    }

    unsafe fn release(&self, region: Region) {
        // SAFETY: the caller's promise.
        unsafe { release(region.start) };
    }

    fn now_ms(&self) -> u64 {
        // SAFETY: a read of shared memory, exact to 16 ms.
        unsafe { GetTickCount64() }
    }
}

/// Reserves addresses, and commits them if `kind` says so too.
pub fn new_region(size: usize, kind: VIRTUAL_ALLOCATION_TYPE) -> Option<NonNull<u8>> {
    // SAFETY: where the system finds room: changes nothing that is there.
    NonNull::new(unsafe { Memory::VirtualAlloc(null(), size, kind, PAGE_READWRITE) }.cast())
}

/// Gives a whole region back.
///
/// # Safety
/// A region of ours begins here, and nobody uses it any more.
pub unsafe fn release(start: NonNull<u8>) {
    let _kept = LastError::keep();
    // SAFETY: the caller's promise. The system knows the size.
    unsafe { VirtualFree(start.as_ptr().cast(), 0, MEM_RELEASE) };
}

/// Memory from the system itself, for what is no heap's.
pub fn zeroed_memory(size: usize) -> Option<NonNull<u8>> {
    let _kept = LastError::keep();
    new_region(size, MEM_RESERVE | MEM_COMMIT)
}

/// Takes such memory back.
///
/// # Safety
/// It came from [`zeroed_memory`], and nobody uses it any more.
pub unsafe fn return_memory(start: NonNull<u8>, _: usize) {
    // SAFETY: the caller's promise.
    unsafe { release(start) };
}

/// Is not in every Windows, so it is no import.
type VirtualAlloc2 = unsafe extern "system" fn(
    process: HANDLE,
    at: *const c_void,
    size: usize,
    kind: VIRTUAL_ALLOCATION_TYPE,
    protection: u32,
    parameters: *mut MEM_EXTENDED_PARAMETER,
    parameter_count: u32,
) -> *mut c_void;

/// Reserves at a multiple of `align`, if this Windows can do that.
fn reserve_aligned(size: usize, align: usize) -> Option<NonNull<u8>> {
    let virtual_alloc2 = if align > GRANULARITY { find(c"kernelbase.dll", c"VirtualAlloc2") } else { None };
    let Some(virtual_alloc2) = virtual_alloc2 else { return new_region(size, MEM_RESERVE) };
    let mut requirements =
        MEM_ADDRESS_REQUIREMENTS { LowestStartingAddress: null_mut(), HighestEndingAddress: null_mut(), Alignment: align };
    let mut parameter = MEM_EXTENDED_PARAMETER {
        Anonymous1: MEM_EXTENDED_PARAMETER_0 { _bitfield: MemExtendedParameterAddressRequirements as u64 },
        Anonymous2: MEM_EXTENDED_PARAMETER_1 { Pointer: (&raw mut requirements).cast() },
    };
    // SAFETY: the system's function of this name has this type. A new reservation changes nothing that is there.
    let start = unsafe {
        let virtual_alloc2: VirtualAlloc2 = core::mem::transmute(virtual_alloc2);
        virtual_alloc2(GetCurrentProcess(), null(), size, MEM_RESERVE, PAGE_READWRITE, &mut parameter, 1)
    };
    NonNull::new(start.cast())
}
