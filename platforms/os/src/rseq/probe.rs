//! Whether restartable sequences can be used here, and where the areas lie.
//!
//! *Role*: asked once for each heap, at its first slow path. Allocates nothing.

#[cfg(not(target_feature = "crt-static"))]
use core::ffi::CStr;
#[cfg(not(target_feature = "crt-static"))]
use core::sync::atomic::{AtomicUsize, Ordering};

use super::CORES;
#[cfg(target_feature = "crt-static")]
use super::instructions::address_of_weak;
use crate::system::errno::Errno;
use crate::system::membarrier::RESTART;
use crate::system::this_thread;

/// Where threads find their areas.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The start of the area, from the thread pointer.
    pub start: isize,
    /// The number of the core, from the thread pointer.
    pub number: isize,
    /// All numbers are below this.
    pub core_count: usize,
}

/// Offsets in the area.
const CPU_ID: isize = 4;
const MM_CID: isize = 24;
/// The length of the area's part that the kernel uses, if it keeps `mm_cid` there.
const FEATURES_WITH_MM_CID: u64 = 28;
const AT_RSEQ_FEATURE_SIZE: u64 = 27;

/// The areas, if glibc registers them, the kernel can restart sequences on other cores, and there are slots for all cores.
pub fn probe() -> Option<Area> {
    let _errno = Errno::keep();
    let start = registered_area()?;
    let core_count = possible_cores()?;
    if !RESTART.register() {
        return None;
    }
    // SAFETY: a plain question.
    let features = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) };
    // glibc's smallest area has room for `mm_cid`, and the kernel keeps up to date what it has room for.
    let number = start + if features >= FEATURES_WITH_MM_CID { MM_CID } else { CPU_ID };
    // SAFETY: fields of this thread's area, which is registered.
    let registered = unsafe { read(start + CPU_ID) >= 0 && (0..core_count as i32).contains(&read(number)) };
    registered.then_some(Area { start, number, core_count })
}

/// Where each thread's area lies from the thread pointer, if glibc has registered it with the kernel.
fn registered_area() -> Option<isize> {
    let (offset, size) = symbols()?;
    // SAFETY: variables of glibc, of these types, constant since the program started.
    unsafe { (size.cast::<u32>().read() != 0).then(|| offset.cast::<isize>().read()) }
}

/// Reads a field of this thread's area.
///
/// # Safety
/// The field lies in the area.
pub unsafe fn read(field: isize) -> i32 {
    let field = core::ptr::with_exposed_provenance::<i32>(this_thread().wrapping_add_signed(field));
    // SAFETY: the caller's promise. The kernel writes it whenever it runs, hence volatile.
    unsafe { field.read_volatile() }
}

/// How many cores there can ever be, if there are slots for all of them.
fn possible_cores() -> Option<usize> {
    let mut mask = [0usize; CORES / usize::BITS as usize];
    // The kernel refuses a mask that is too short for the highest possible core, and says how long a part it used.
    // SAFETY: the mask is as long as is said.
    let used = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
    (used > 0).then_some(used as usize * 8)
}

cfg_if::cfg_if! {
    if #[cfg(target_feature = "crt-static")] {
        /// glibc's `__rseq_offset` and `__rseq_size`, if this glibc has them.
        fn symbols() -> Option<(*const u8, *const u8)> {
            // SAFETY: loads two addresses that the linker filled in.
            let (offset, size) = unsafe { (address_of_weak!("__rseq_offset"), address_of_weak!("__rseq_size")) };
            (!offset.is_null() && !size.is_null()).then_some((offset, size))
        }
    } else {
        /// glibc's `__rseq_offset` and `__rseq_size`, if this glibc has them.
        ///
        /// Looked up at run time, because a reference, even a weak one, would bind the program to glibc 2.35.
        fn symbols() -> Option<(*const u8, *const u8)> {
            // A look-up that fails allocates its error message: ask only where it succeeds.
            // SAFETY: glibc answers with a constant string.
            let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
            if !is_at_least_2_35(version.to_bytes()) {
                return None;
            }
            // In a C program that was linked statically it does not succeed. The message is allocated by this heap, which comes here again.
            static LOOKING: AtomicUsize = AtomicUsize::new(0);
            // SAFETY: a plain question.
            let this_thread = unsafe { libc::pthread_self() } as usize;
            if LOOKING.swap(this_thread, Ordering::Relaxed) == this_thread {
                return None;
            }
            // SAFETY: constant names.
            let (offset, size) = unsafe { (look_up(c"__rseq_offset"), look_up(c"__rseq_size")) };
            LOOKING.store(0, Ordering::Relaxed);
            (!offset.is_null() && !size.is_null()).then_some((offset, size))
        }

        unsafe fn look_up(name: &CStr) -> *mut u8 {
            // SAFETY: a name with its end.
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()).cast() }
        }

        /// Versions are like `2.36` or `2.36.9000`.
        fn is_at_least_2_35(version: &[u8]) -> bool {
            let mut numbers = version.split(|byte| *byte == b'.').map(|digits| {
                digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'))
            });
            (numbers.next(), numbers.next()) >= (Some(2), Some(35))
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_feature = "crt-static"))]
    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, new_enough) in
            [("2.4", false), ("2.34", false), ("2.35", true), ("2.36.9000", true), ("2.100", true), ("3.0", true), ("", false)]
        {
            assert_eq!(super::is_at_least_2_35(version.as_bytes()), new_enough, "{version}");
        }
    }
}
