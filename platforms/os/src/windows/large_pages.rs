//! [`LargePages`]: memory in large pages, for programs that hold the privilege for it.
//!
//! *Role*: a page source to choose; [`Coreheap`](crate::Coreheap) does without.

use core::ptr::null_mut;

use coreheap::{PageSource, Region, RegionRequest};
use windows_sys::Win32::Foundation::{CloseHandle, ERROR_PRIVILEGE_NOT_HELD, ERROR_SUCCESS, LUID};
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, LUID_AND_ATTRIBUTES, SE_PRIVILEGE_ENABLED, TOKEN_ADJUST_PRIVILEGES, TOKEN_PRIVILEGES,
};
use windows_sys::Win32::System::Memory::{GetLargePageMinimum, MEM_COMMIT, MEM_LARGE_PAGES, MEM_RESERVE};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::last_error::LastError;
use super::virtual_alloc::{GRANULARITY, new_region, release};
use crate::sizes::sizes_to_try;

/// What a region has at most, unless more is needed: all of it is committed, used or not.
const MOST_PREFERRED: usize = 64 << 20;

/// A page source whose regions lie in large pages (2 MiB on x86), where the system has them.
///
/// Large pages are committed when they are reserved, are never paged out, and go back only when the heap is dropped. The program's user must
/// hold the right to "Lock pages in memory"; its privilege is switched on for the process at the first request. Where there is no such
/// right, or memory is too fragmented, a region lies in small pages, committed as a whole all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct LargePages;

// SAFETY: a region is a fresh reservation, committed, so it is nobody else's.
unsafe impl PageSource for LargePages {
    const FRESH_IS_ZERO: bool = true;
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let _kept = LastError::keep();
        // All of such a region would be committed: one for many blocks wastes less.
        if request.is_for_one_block {
            return None;
        }
        let request = RegionRequest { preferred_size: request.preferred_size.min(MOST_PREFERRED), ..request };
        let region = |size, kind| Some(Region { start: new_region(size, MEM_RESERVE | MEM_COMMIT | kind)?, size });
        // SAFETY: a plain question; 0 where there are no large pages.
        let large_page = unsafe { GetLargePageMinimum() };
        let in_large_pages = || {
            if large_page == 0 {
                return None;
            }
            sizes_to_try(&request, large_page).find_map(|size| region(size, MEM_LARGE_PAGES))
        };
        let is_privilege_missing = || LastError::now() == ERROR_PRIVILEGE_NOT_HELD;
        in_large_pages()
            .or_else(|| if is_privilege_missing() && enable_privilege() { in_large_pages() } else { None })
            .or_else(|| sizes_to_try(&request, GRANULARITY).find_map(|size| region(size, 0)))
    }

    unsafe fn release(&self, region: Region) {
        // SAFETY: the caller's promise.
        unsafe { release(region.start) };
    }
}

/// `SE_LOCK_MEMORY_PRIVILEGE`, the same on every Windows; to look it up by its name would ask another process.
const LOCK_MEMORY: LUID = LUID { LowPart: 4, HighPart: 0 };

/// Switches the privilege on, which its holders have switched off at first; false if this process does not hold it.
fn enable_privilege() -> bool {
    let mut token = null_mut();
    let wanted = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES { Luid: LOCK_MEMORY, Attributes: SE_PRIVILEGE_ENABLED }],
    };
    // SAFETY: this process's own token, closed again; a valid wish, and no place for what was before.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &mut token) == 0 {
            return false;
        }
        let is_adjusted = AdjustTokenPrivileges(token, 0, &wanted, 0, null_mut(), null_mut()) != 0;
        // Without the privilege it does nothing, and says so only here.
        let is_enabled = is_adjusted && LastError::now() == ERROR_SUCCESS;
        CloseHandle(token);
        is_enabled
    }
}
