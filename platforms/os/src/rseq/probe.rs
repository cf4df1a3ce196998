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
pub(super) const AT_RSEQ_FEATURE_SIZE: u64 = 27;

/// The areas, if glibc registers them, the kernel can restart sequences on other cores, and there are slots for all cores.
pub fn probe() -> Option<Area> {
    let _errno = Errno::keep();
    Said::ask()?.area().filter(|_| RESTART.register())
}

/// What the system says, all that the decision goes by.
///
/// The alignment that the kernel wants (`AT_RSEQ_ALIGN`) and the flags that glibc registers with (`__rseq_flags`) matter to who
/// registers areas, not to who uses them.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// glibc's `__rseq_offset`.
    start: isize,
    /// glibc's `__rseq_size`: 0 where it registers no areas. Else no measure of what is in use: glibc up to 2.39 says 32, also where the
    /// kernel uses 20 bytes; 2.40 says 20, also where it uses 28; later ones say what the kernel does.
    size: u32,
    /// How long a part of an area the kernel uses, by `AT_RSEQ_FEATURE_SIZE`: 0 before Linux 6.3, then 28, later more.
    features: u64,
    /// Fields of this thread's area. What the kernel does not know stays 0.
    cpu_id: i32,
    mm_cid: i32,
    /// How many cores there can ever be, if there are slots for all of them.
    core_count: Option<usize>,
}

impl Said {
    fn ask() -> Option<Self> {
        let (offset, size) = symbols()?;
        // SAFETY: variables of glibc, of these types, constant since the program started.
        let (start, size) = unsafe { (offset.cast::<isize>().read(), size.cast::<u32>().read()) };
        // SAFETY: a plain question.
        let features = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) };
        // SAFETY: each thread has an area of 32 bytes or more there, registered or not.
        let (cpu_id, mm_cid) = unsafe { (read(start + CPU_ID), read(start + MM_CID)) };
        Some(Said { start, size, features, cpu_id, mm_cid, core_count: possible_cores() })
    }

    /// The areas, if they can be used.
    fn area(self) -> Option<Area> {
        let core_count = self.core_count?;
        // glibc's smallest area has room for `mm_cid`, and the kernel keeps up to date what it has room for.
        let (field, number) = if self.features >= FEATURES_WITH_MM_CID { (MM_CID, self.mm_cid) } else { (CPU_ID, self.cpu_id) };
        let is_registered = self.size != 0 && self.cpu_id >= 0;
        let is_usable = is_registered && (0..core_count as i32).contains(&number);
        is_usable.then_some(Area { start: self.start, number: self.start + field, core_count })
    }
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
    use super::*;

    /// What glibc 2.36 said on Linux 6.18, of a thread on core 3 of 8.
    const SAID: Said = Said { start: 2464, size: 20, features: 28, cpu_id: 3, mm_cid: 1, core_count: Some(8) };
    const BY_MM_CID: Option<isize> = Some(2464 + 24);
    const BY_CPU_ID: Option<isize> = Some(2464 + 4);

    #[test]
    fn the_number_is_the_best_that_the_kernel_keeps() {
        for (words, said, number) in [
            ("glibc 2.35 on Linux 5.10", Said { size: 32, features: 0, mm_cid: 0, ..SAID }, BY_CPU_ID),
            ("glibc 2.40 on Linux 5.10", Said { size: 20, features: 0, mm_cid: 0, ..SAID }, BY_CPU_ID),
            ("glibc 2.35 on Linux 6.3", Said { size: 32, ..SAID }, BY_MM_CID),
            ("glibc 2.40 on Linux 6.3", Said { size: 20, ..SAID }, BY_MM_CID),
            ("glibc 2.41 on Linux 6.3", Said { size: 28, ..SAID }, BY_MM_CID),
            ("glibc 2.35 on Linux 7.0", Said { size: 32, features: 33, ..SAID }, BY_MM_CID),
            ("glibc 2.41 on Linux 7.0", Said { size: 33, features: 33, ..SAID }, BY_MM_CID),
            ("a kernel that has node numbers only", Said { features: 24, ..SAID }, BY_CPU_ID),
            ("areas longer than any yet", Said { size: 200, features: 200, ..SAID }, BY_MM_CID),
            ("no number at all", Said { mm_cid: -1, ..SAID }, None),
        ] {
            assert_eq!(said.area().map(|area| area.number), number, "{words}: {said:?}");
        }
    }

    #[test]
    fn areas_lie_on_either_side_of_the_thread_pointer() {
        // From glibc 2.41 on they lie before it, at multiples of what the kernel asks for.
        for start in [2464, -64, -4096] {
            let area = Said { start, size: 33, features: 33, ..SAID }.area().expect("usable");
            assert_eq!((area.start, area.number, area.core_count), (start, start + 24, 8));
        }
    }

    #[test]
    fn what_cannot_be_used_is_not() {
        for (words, said) in [
            ("registration is switched off", Said { size: 0, cpu_id: -2, mm_cid: 0, ..SAID }),
            ("the same, and nothing was written", Said { size: 0, cpu_id: 0, mm_cid: 0, ..SAID }),
            ("this thread alone is not registered", Said { cpu_id: -2, mm_cid: 0, ..SAID }),
            ("not yet registered", Said { cpu_id: -1, mm_cid: 0, ..SAID }),
            ("more cores than slots", Said { core_count: None, ..SAID }),
            ("a number that no core has", Said { mm_cid: 8, ..SAID }),
            ("the same of a kernel without `mm_cid`", Said { features: 20, cpu_id: 8, ..SAID }),
        ] {
            assert!(said.area().is_none(), "{words}: {said:?}");
        }
    }

    #[test]
    fn this_system_says_what_the_table_expects() {
        let Some(said) = Said::ask() else { return };
        std::println!("{said:?}");
        assert!([0, 20, 32].contains(&said.size) || u64::from(said.size) == said.features, "{said:?}");
        assert_eq!(said.size != 0, said.cpu_id >= 0, "{said:?}");
        assert!(said.features == 0 || said.features >= 20, "{said:?}");
    }

    #[cfg(not(target_feature = "crt-static"))]
    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, new_enough) in
            [("2.4", false), ("2.34", false), ("2.35", true), ("2.36.9000", true), ("2.100", true), ("3.0", true), ("", false)]
        {
            assert_eq!(is_at_least_2_35(version.as_bytes()), new_enough, "{version}");
        }
    }
}
