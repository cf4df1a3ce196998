//! How memory is given back, on the BSDs and other systems: as on every Unix.

use core::ffi::c_void;
use core::ptr::NonNull;

use libc::{MAP_FIXED, c_int, clockid_t};

use super::{FULL_ACCESS, map};

pub const CLOCK: clockid_t = libc::CLOCK_MONOTONIC;
/// Where it exists at all, it is not needed.
pub const NO_RESERVE: c_int = 0;
pub const GIVEN_UP_IS_ZERO: bool = true;
/// Their `MADV_FREE` gives nothing back before memory is short.
pub const DISCARDS: bool = false;
pub const REMAPS: bool = false;
pub const HAS_HUGE_PAGES: bool = false;

cfg_if::cfg_if! {
    if #[cfg(target_os = "freebsd")] {
        /// What `vm.overcommit` says: its lowest bit is set where the system keeps swap space for all that can be written.
        pub fn overcommits() -> bool {
            let _errno = super::super::errno::Errno::keep();
            let (mut setting, mut size): (c_int, usize) = (0, size_of::<c_int>());
            let place = (&raw mut setting).cast();
            // SAFETY: a constant name, and room for the answer.
            unsafe { libc::sysctlbyname(c"vm.overcommit".as_ptr(), place, &mut size, core::ptr::null_mut(), 0) };
            setting & 1 == 0
        }
    } else {
        /// They do, as far as it is known.
        pub fn overcommits() -> bool {
            true
        }
    }
}

/// Gives the contents of whole pages up, by a fresh mapping in their place.
///
/// # Safety
/// Pages of a region of ours whose contents nobody uses.
pub unsafe fn give_up(start: *mut c_void, size: usize) -> bool {
    map(start, size, (FULL_ACCESS.0, FULL_ACCESS.1 | MAP_FIXED)).is_some()
}

/// What was given up is there again as soon as it is touched.
///
/// # Safety
/// None is needed here.
#[inline(always)]
pub unsafe fn take_back(_: *mut c_void, _: usize) {}

/// There is no call for it.
///
/// # Safety
/// None is needed here.
pub unsafe fn remap(_: *mut c_void, _: usize, _: usize) -> Option<NonNull<u8>> {
    None
}

/// The system decides.
pub fn prefer_huge_pages(_: usize, _: usize, _: bool) {}
