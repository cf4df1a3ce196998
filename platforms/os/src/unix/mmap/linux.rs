//! How memory is given back, on Linux and Android.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};

use libc::{c_int, clockid_t};

use super::super::errno::Errno;
use super::super::os_page::{UNIT, page_size};
use super::super::process::read_start;
use super::{NO_ACCESS, map_aligned};

/// A read of shared memory, exact to a few milliseconds.
pub const CLOCK: clockid_t = libc::CLOCK_MONOTONIC_COARSE;
pub const NO_RESERVE: c_int = libc::MAP_NORESERVE;
pub const GIVEN_UP_IS_ZERO: bool = true;
pub const DISCARDS: bool = true;
pub const REMAPS: bool = cfg!(not(miri));
pub const HAS_HUGE_PAGES: bool = cfg!(all(target_os = "linux", target_pointer_width = "64", not(miri)));

/// What `vm.overcommit_memory` says. An app on Android may not read it; Android overcommits.
pub fn overcommits() -> bool {
    let _errno = Errno::keep();
    read_start(c"/proc/sys/vm/overcommit_memory", &mut [0; 1]) != b"2"
}

/// Gives the contents of whole pages up.
///
/// # Safety
/// Pages of a region of ours whose contents nobody uses.
pub unsafe fn give_up(start: *mut c_void, size: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) == 0 }
}

/// What was given up is there again as soon as it is touched.
///
/// # Safety
/// None is needed here.
#[inline(always)]
pub unsafe fn take_back(_: *mut c_void, _: usize) {}

/// Gives a mapping another size, where it is or at a multiple of [`UNIT`].
///
/// # Safety
/// A whole region of ours that belongs to the caller.
pub unsafe fn remap(start: *mut c_void, old: usize, new: usize) -> Option<NonNull<u8>> {
    const MAY_MOVE: c_int = 1;
    const TO_TARGET: c_int = 2;
    let mremap = |flags: c_int, target: *mut c_void| {
        // The plain system call: the function is not in all versions of libc's crate.
        // SAFETY: the caller's promise; the target is null, or addresses that nobody uses.
        let moved = unsafe { libc::syscall(libc::SYS_mremap, start, old, new, flags, target) };
        if moved == -1 { None } else { NonNull::new(with_exposed_provenance_mut(moved as usize)) }
    };
    if page_size() >= UNIT {
        return mremap(MAY_MOVE, null_mut());
    }
    mremap(0, null_mut()).or_else(|| {
        let target = map_aligned(new, UNIT, NO_ACCESS)?.as_ptr();
        // If it is refused, the kernel may have unmapped the target before, and somebody else may have it by now: so its addresses are given up.
        mremap(MAY_MOVE | TO_TARGET, target.cast())
    })
}

/// Asks for huge pages, or forbids them. The kernel may refuse.
pub fn prefer_huge_pages(start: usize, size: usize, may_be: bool) {
    let advice = if may_be { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: says how memory is to be backed, and changes nothing of its contents.
    unsafe { libc::madvise(with_exposed_provenance_mut(start), size, advice) };
}
