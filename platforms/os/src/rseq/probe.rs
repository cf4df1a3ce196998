//! Whether restartable sequences can be used here, and where the areas lie.
//!
//! *Role*: asked once for each heap, at its first slow path. Allocates nothing.

use super::CORES;
use super::instructions::SIGNATURE;
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
use super::instructions::address_of_weak;
#[cfg(target_env = "musl")]
use super::registration;
use crate::system::errno::Errno;
#[cfg(not(target_feature = "crt-static"))]
use crate::system::loaded::Loaded;
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
/// No kernel asks for areas that are longer, for a long time yet.
const MOST_BYTES: usize = 512;
pub(super) const AT_RSEQ_FEATURE_SIZE: u64 = 27;

/// The areas, if threads are registered, the kernel can restart sequences on other cores, and there are slots for all cores.
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
    /// Where an area lies, from the thread pointer: glibc's `__rseq_offset`.
    start: isize,
    /// glibc's `__rseq_size`: 0 where it registers no areas. Else no measure of what is in use: glibc up to 2.39 says 32, also where the
    /// kernel uses 20 bytes; 2.40 says 20, also where it uses 28; later ones say what the kernel does.
    size: u32,
    /// How long a part of an area the kernel uses, by `AT_RSEQ_FEATURE_SIZE`: 0 before Linux 6.3, then 28, later more.
    features: u64,
    /// Fields of this thread's area. What the kernel does not know stays 0.
    cpu_id: i32,
    mm_cid: i32,
    /// Whether the kernel says that this thread has registered its area. The fields do not: one that nobody ever wrote reads like core 0.
    is_registered: bool,
    /// How many cores there can ever be, if there are slots for all of them.
    core_count: Option<usize>,
}

impl Said {
    fn ask() -> Option<Self> {
        let (start, size) = areas()?;
        // SAFETY: a plain question.
        let features = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) };
        // SAFETY: each thread has an area of 32 bytes or more there, registered or not.
        let (cpu_id, mm_cid) = unsafe { (read(start + CPU_ID), read(start + MM_CID)) };
        let is_registered = size != 0 && is_registered(start);
        Some(Said { start, size, features, cpu_id, mm_cid, is_registered, core_count: possible_cores() })
    }

    /// The areas, if they can be used.
    fn area(self) -> Option<Area> {
        let core_count = self.core_count?;
        // glibc's smallest area has room for `mm_cid`, and the kernel keeps up to date what it has room for.
        let (field, number) = if self.features >= FEATURES_WITH_MM_CID { (MM_CID, self.mm_cid) } else { (CPU_ID, self.cpu_id) };
        let is_usable = self.size != 0 && self.is_registered && (0..core_count as i32).contains(&number);
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

/// Whether this thread has registered its area. The kernel is asked to end the registration, with a wrong signature: it refuses in any case,
/// and only where the area is the right one for the signature.
fn is_registered(start: isize) -> bool {
    const UNREGISTER: libc::c_int = 1;
    const WRONG: u32 = !SIGNATURE;
    let area = this_thread().wrapping_add_signed(start);
    // It wants to hear how long the area is, which glibc does not tell: 32 bytes, or what later kernels ask for.
    let mut lengths = (32..=MOST_BYTES).step_by(4);
    lengths.any(|length| {
        // SAFETY: changes nothing.
        let result = unsafe { libc::syscall(libc::SYS_rseq, area, length, UNREGISTER, WRONG) };
        result == -1 && Errno::is(libc::EPERM)
    })
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
    if #[cfg(target_env = "musl")] {
        /// Where the areas lie and how long they are, if this thread can be registered.
        fn areas() -> Option<(isize, u32)> {
            registration::register_this_thread().then(|| (registration::area(), registration::AREA_BYTES))
        }
    } else if #[cfg(target_feature = "crt-static")] {
        /// glibc's `__rseq_offset` and `__rseq_size`, if this glibc has them.
        fn symbols() -> Option<(*const u8, *const u8)> {
            // SAFETY: loads two addresses that the linker filled in.
            let (offset, size) = unsafe { (address_of_weak!("__rseq_offset"), address_of_weak!("__rseq_size")) };
            (!offset.is_null() && !size.is_null()).then_some((offset, size))
        }
    } else {
        /// glibc's `__rseq_offset` and `__rseq_size`, if this glibc has them: its loader does.
        ///
        /// Looked up at run time, because a reference, even a weak one, would bind the program to glibc 2.35; and not by the loader, which
        /// may be waiting for this very thread.
        fn symbols() -> Option<(*const u8, *const u8)> {
            let loader = Loaded::loader()?;
            Some((loader.find(c"__rseq_offset")?.as_ptr(), loader.find(c"__rseq_size")?.as_ptr()))
        }
    }
}

/// Where the areas lie and how long they are, by glibc.
#[cfg(target_env = "gnu")]
fn areas() -> Option<(isize, u32)> {
    let (offset, size) = symbols()?;
    // SAFETY: variables of glibc, of these types, constant since the program started.
    Some(unsafe { (offset.cast::<isize>().read(), size.cast::<u32>().read()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What glibc 2.36 said on Linux 6.18, of a thread on core 3 of 8.
    const SAID: Said =
        Said { start: 2464, size: 20, features: 28, cpu_id: 3, mm_cid: 1, is_registered: true, core_count: Some(8) };
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
            ("registration is switched off", Said { size: 0, cpu_id: -2, mm_cid: 0, is_registered: false, ..SAID }),
            ("the same, and nothing was written", Said { size: 0, cpu_id: 0, mm_cid: 0, is_registered: false, ..SAID }),
            ("this thread alone is not registered", Said { cpu_id: -2, mm_cid: 0, is_registered: false, ..SAID }),
            ("the same, and nothing was written", Said { cpu_id: 0, mm_cid: 0, is_registered: false, ..SAID }),
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
        assert_eq!(said.size != 0, said.is_registered, "{said:?}");
        assert!(said.features == 0 || said.features >= 20, "{said:?}");
    }
}
