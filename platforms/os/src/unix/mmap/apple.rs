//! How memory is given back, on Apple's systems.

use core::ffi::c_void;
use core::ptr::NonNull;

use libc::{c_int, clockid_t};

use super::super::errno::Errno;

pub const CLOCK: clockid_t = libc::CLOCK_MONOTONIC;
/// There is no such limit.
pub const NO_RESERVE: c_int = 0;
/// Pages that the system did not need meanwhile come back as they were.
pub const GIVEN_UP_IS_ZERO: bool = false;
/// [`take_back`] must be called before what was given up is used.
pub const DISCARDS: bool = false;
pub const REMAPS: bool = false;
pub const HAS_HUGE_PAGES: bool = false;

/// It always does.
pub fn overcommits() -> bool {
    true
}

/// Gives the contents of whole pages up: they count no longer as the process's, and the system takes them when it needs them. A fresh
/// mapping would give them back at once, but cut the region into ever more mappings.
///
/// # Safety
/// Pages of a region of ours whose contents nobody uses.
pub unsafe fn give_up(start: *mut c_void, size: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(start, size, libc::MADV_FREE_REUSABLE) == 0 }
}

/// Counts what was given up as the process's again.
///
/// # Safety
/// Pages of a region of ours.
pub unsafe fn take_back(start: *mut c_void, size: usize) {
    let _errno = Errno::keep();
    // SAFETY: the caller's promise. A refusal makes the system count wrongly, and nothing else.
    unsafe { libc::madvise(start, size, libc::MADV_FREE_REUSE) };
}

/// There is no call for it.
///
/// # Safety
/// None is needed here.
pub unsafe fn remap(_: *mut c_void, _: usize, _: usize) -> Option<NonNull<u8>> {
    None
}

/// Not to be had for memory of this kind.
pub fn prefer_huge_pages(_: usize, _: usize, _: bool) {}
