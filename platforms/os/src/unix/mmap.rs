//! [`Mmap`]: memory from the system's `mmap`.
//!
//! *Role*: the page source of [`Coreheap`](crate::Coreheap). Reserves big regions and gives idle parts back one by one.
//!
//! *Three modes*, decided at the first request and kept, because a region lives by the mode it was reserved in:
//! - usual: the system overcommits, so a region is usable as a whole at once, costs nothing before it is touched, and
//!   committing is no system call;
//! - strict (`vm.overcommit_memory` is 2, on FreeBSD `vm.overcommit` is odd, or [`Mmap::strict`]): a region is reserved without
//!   access, and what is committed counts against the system's limit. A refused commit is a refused allocation and not a killed
//!   process;
//! - large, if the user asked for large pages and there were some ([`Mmap::large`]): a region is there as a whole, and nothing of it is
//!   given back before the heap ends. No block has a region of its own.
//!
//! *Differences*: each kind of system has its own way of giving memory back: `kernel` is Linux', Apple's, or everybody's.
//!
//! *Contexts*: every call may be made from any thread, from signal handlers and in the child of a `fork`; nothing allocates,
//! nothing is locked, and `errno` is kept.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use coreheap::{PageSource, Region, RegionRequest};
use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, c_int, c_void};

use self::huge_pages::HugePages;
use self::placement::{Placement, system::large_region};
use super::errno::Errno;
use super::os_page::{LEAST, UNIT, page_size};
use crate::sizes::sizes_to_try;

mod huge_pages;
mod placement;

pub use placement::{LargePage, NodeError, Reserved};

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", target_os = "android"))] {
        #[path = "mmap/linux.rs"]
        mod kernel;
    } else if #[cfg(target_vendor = "apple")] {
        #[path = "mmap/apple.rs"]
        mod kernel;
    } else {
        #[path = "mmap/others.rs"]
        mod kernel;
    }
}

const UNDECIDED: u8 = 0;
const USUAL: u8 = 1;
const STRICT: u8 = 2;
const LARGE: u8 = 3;

/// A page source over `mmap`.
///
/// | ability | how |
/// |---|---|
/// | reserve | `mmap` of the preferred size, at most a 16th of what the process may map if that is less than 4 GiB, or half of it, and so on down to the least; aligned by cutting off both ends, or by a hint where addresses are limited |
/// | commit | nothing (on Apple's systems `MADV_FREE_REUSE`), or `mprotect` in strict mode |
/// | decommit | `MADV_DONTNEED` on Linux, `MADV_FREE_REUSABLE` on Apple's systems, elsewhere a fresh mapping; in strict mode one without access |
/// | discard | `MADV_DONTNEED`, on Linux |
/// | release | `munmap` |
/// | remap | `mremap`, on Linux |
/// | huge pages | `MADV_HUGEPAGE` on 64-bit Linux, from 8 MiB into a region on; not for a block that has a region of its own; `MADV_NOHUGEPAGE` where a part of one went back |
/// | large pages | `MAP_HUGETLB` on Linux, if asked for ([`Mmap::large`]); then nothing is decommitted, discarded or remapped |
/// | NUMA node | `mbind` on Linux, if asked for ([`Mmap::on_node`], [`Mmap::near_node`]) |
/// | zero | fresh memory reads as zero, and decommitted memory but on Apple's systems |
#[derive(Debug)]
pub struct Mmap {
    mode: AtomicU8,
    placement: Placement,
    in_large_pages: AtomicUsize,
    in_usual_pages: AtomicUsize,
    huge_pages: HugePages,
    /// What [`fair_share`] said; 0: not asked yet.
    share: AtomicUsize,
}

impl Mmap {
    /// Asks the system at the first request whether it overcommits, and how much the process may map.
    pub const fn new() -> Self {
        let [in_large_pages, in_usual_pages, share] = [const { AtomicUsize::new(0) }; 3];
        let (mode, placement, huge_pages) = (AtomicU8::new(UNDECIDED), Placement::ANYWHERE, HugePages::new());
        Mmap { mode, placement, in_large_pages, in_usual_pages, huge_pages, share }
    }

    /// Commits explicitly, whatever the system does: memory that is not committed cannot be accessed, and a system that refuses
    /// to commit makes the allocation fail.
    pub const fn strict() -> Self {
        Mmap { mode: AtomicU8::new(STRICT), ..Self::new() }
    }

    fn mode(&self) -> u8 {
        match self.mode.load(Relaxed) {
            UNDECIDED => self.settle(if kernel::overcommits() { USUAL } else { STRICT }),
            mode => mode,
        }
    }

    /// The first answer counts, also if the system's setting changes meanwhile.
    fn settle(&self, mode: u8) -> u8 {
        self.mode.compare_exchange(UNDECIDED, mode, Relaxed, Relaxed).err().unwrap_or(mode)
    }

    /// The [`fair_share`] at the first request. Once only, as with the rest: a program may shut itself in, and be killed for system calls that come later.
    fn share(&self) -> usize {
        match self.share.load(Relaxed) {
            0 => {
                let _errno = Errno::keep();
                let share = fair_share().max(1);
                self.share.store(share, Relaxed);
                share
            }
            share => share,
        }
    }

    /// The large pages to use for regions, unless this source does without by now.
    fn large_page(&self) -> Option<LargePage> {
        let mode = self.mode.load(Relaxed);
        if mode == UNDECIDED || mode == LARGE { self.placement.large_page() } else { None }
    }

    /// Gives the contents of whole pages up.
    ///
    /// # Safety
    /// Pages of a region of ours whose contents nobody uses.
    unsafe fn give_up(&self, start: *mut c_void, size: usize) -> bool {
        // SAFETY: the caller's promise.
        let given = unsafe { kernel::give_up(start, size) };
        if given {
            self.huge_pages.settle(start.addr(), size);
        }
        given
    }

    fn reserve_large(&self, request: &RegionRequest) -> Option<Region> {
        let region = large_region(request, self.large_page()?, &self.placement)?;
        if self.settle(LARGE) == LARGE {
            self.in_large_pages.fetch_add(region.size, Relaxed);
            return Some(region);
        }
        // Another context found none a moment ago.
        // SAFETY: just mapped, and used by nobody.
        unsafe { libc::munmap(region.start.as_ptr().cast(), region.size) };
        None
    }

    fn reserve_usual(&self, request: &RegionRequest) -> Option<Region> {
        let access = if self.mode() == STRICT { NO_ACCESS } else { FULL_ACCESS };
        // The alignment is only a wish, but for that of OS pages: a smaller region is worse than one that starts elsewhere.
        let map = |size| {
            map_aligned(size, request.preferred_align.max(UNIT), access)
                .or_else(|| map_near(size, request.preferred_align, access))
        };
        // Where OS pages are longer, more is mapped than is said: a block that has all of its region has all that is said.
        let mapped = |size: usize| map(size.next_multiple_of(page_size()));
        let most = if request.is_for_one_block { usize::MAX } else { self.share() };
        let request = &RegionRequest { preferred_size: request.preferred_size.min(most), ..*request };
        let region = sizes_to_try(request, UNIT).find_map(|size| Some(Region { start: mapped(size)?, size }))?;
        if self.placement.apply(region.start.as_ptr().cast(), region.size).is_err() {
            // SAFETY: mapped above, and used by nobody.
            unsafe { libc::munmap(region.start.as_ptr().cast(), region.size) };
            return None;
        }
        if !request.is_for_one_block {
            self.huge_pages.ask(&region);
        }
        self.in_usual_pages.fetch_add(region.size, Relaxed);
        Some(region)
    }
}

impl Default for Mmap {
    fn default() -> Self {
        Self::new()
    }
}

/// A process that may map less than so many bytes has few addresses.
const MANY: u64 = 4 << 30;

/// How many bytes of addresses an arena may well have: a 16th of what the process may map (`ulimit -v`), if those are few, since others, such as threads, need
/// some too; else any number.
fn fair_share() -> usize {
    #[cfg(not(target_os = "openbsd"))]
    {
        let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a valid place for the answer.
        unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
        #[allow(clippy::useless_conversion, reason = "the type differs by system")]
        let most = u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX);
        if limit.rlim_cur != libc::RLIM_INFINITY && most < MANY {
            return (most / 16) as usize;
        }
    }
    usize::MAX
}

// SAFETY: a region is a fresh private mapping, so it is nobody else's; the abilities are the system's, see the table.
unsafe impl PageSource for Mmap {
    const FRESH_IS_ZERO: bool = true;
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DECOMMITTED_IS_ZERO: bool = kernel::GIVEN_UP_IS_ZERO;
    const DISCARDS: bool = kernel::DISCARDS;
    const RELEASES: bool = true;
    const REMAPS: bool = kernel::REMAPS;
    const OS_PAGE_SIZE: usize = UNIT;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let _errno = Errno::keep();
        // In large pages nothing comes or goes with a block.
        if request.is_for_one_block && self.large_page().is_some() {
            return None;
        }
        self.reserve_large(&request).or_else(|| self.reserve_usual(&request))
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        if self.mode() != STRICT {
            // SAFETY: pages of a region of ours.
            unsafe { kernel::take_back(start.as_ptr().cast(), size) };
            return true;
        }
        let _errno = Errno::keep();
        // Rounded outwards: what else lies in these pages loses nothing by being accessible.
        let inside = start.addr().get() % page_size();
        let size = (inside + size).next_multiple_of(page_size());
        // SAFETY: pages of a region of ours, which consists of whole pages.
        unsafe { libc::mprotect(start.as_ptr().sub(inside).cast(), size, PROT_READ | PROT_WRITE) == 0 }
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        let _errno = Errno::keep();
        let whole = whole_pages(start.addr().get(), size, page_size());
        // SAFETY: a part of the range, which is a part of a region of ours.
        let pages = unsafe { start.as_ptr().add(whole.before).cast() };
        let given = match self.mode() {
            // Its pages can be given up, but not be had again for certain.
            LARGE => false,
            _ if whole.size == 0 => true,
            STRICT => {
                // A fresh mapping. To take access away would not do: the pages would still count as committed.
                let is_mapped = map(pages, whole.size, (NO_ACCESS.0, NO_ACCESS.1 | MAP_FIXED)).is_some();
                // It was not refused for the region.
                let _ = self.placement.apply(pages, whole.size);
                is_mapped
            }
            // SAFETY: whole pages whose contents nobody uses.
            _ => unsafe { self.give_up(pages, whole.size) },
        };
        if given {
            // SAFETY: the rest of the range, which shares its pages with others and so stayed accessible.
            unsafe {
                start.write_bytes(0, whole.before);
                start.add(whole.before + whole.size).write_bytes(0, whole.after);
            }
        }
        given
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        let _errno = Errno::keep();
        let whole = whole_pages(start.addr().get(), size, page_size());
        // SAFETY: a part of the range, which is a part of a region of ours whose contents nobody uses. Access stays as it is.
        self.mode() != LARGE && whole.size > 0 && unsafe { self.give_up(start.as_ptr().add(whole.before).cast(), whole.size) }
    }

    unsafe fn release(&self, region: Region) {
        let _errno = Errno::keep();
        if self.mode() != LARGE {
            self.huge_pages.forget(&region);
            self.in_usual_pages.fetch_sub(region.size, Relaxed);
        }
        // SAFETY: the caller's promise: a whole region of ours, used by nobody.
        unsafe { libc::munmap(region.start.as_ptr().cast(), region.size) };
    }

    unsafe fn remap(&self, region: Region, size: usize) -> Option<Region> {
        // Large pages only move whole.
        if self.mode() == LARGE {
            return None;
        }
        let _errno = Errno::keep();
        let size = size.checked_next_multiple_of(UNIT)?;
        // As long as they are mapped.
        let (old, new) = (region.size.next_multiple_of(page_size()), size.checked_next_multiple_of(page_size())?);
        // SAFETY: the caller's promise: a whole region of ours, all of it accessible.
        let start = unsafe { kernel::remap(region.start.as_ptr().cast(), old, new) }?;
        self.in_usual_pages.fetch_add(size.wrapping_sub(region.size), Relaxed);
        Some(Region { start, size })
    }

    fn has_few_addresses(&self) -> bool {
        self.share() != usize::MAX
    }

    fn now_ms(&self) -> u64 {
        let _errno = Errno::keep();
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a valid place for the answer.
        unsafe { libc::clock_gettime(kernel::CLOCK, &mut now) };
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }
}

/// Protection and flags of a mapping.
type Access = (c_int, c_int);
/// Usable, and not counted against any limit before it is touched.
const FULL_ACCESS: Access = (PROT_READ | PROT_WRITE, kernel::NO_RESERVE);
/// Unusable; counted once `mprotect` makes it usable.
const NO_ACCESS: Access = (PROT_NONE, 0);

/// The whole pages inside a range, and how many bytes lie before and after them.
#[derive(Debug, PartialEq)]
struct WholePages {
    before: usize,
    size: usize,
    after: usize,
}

fn whole_pages(start: usize, size: usize, page_size: usize) -> WholePages {
    let before = (start.next_multiple_of(page_size) - start).min(size);
    let whole = (size - before) / page_size * page_size;
    WholePages { before, size: whole, after: size - before - whole }
}

fn map(at: *mut c_void, size: usize, (protection, flags): Access) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping; where `flags` make it replace an old one, the caller says why it may.
    let start = unsafe { libc::mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0) };
    if start == MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

/// Memory from the system itself, for what is no heap's.
pub fn zeroed_memory(size: usize) -> Option<NonNull<u8>> {
    let _errno = Errno::keep();
    map(null_mut(), size, FULL_ACCESS)
}

/// Takes such memory back.
///
/// # Safety
/// It came from [`zeroed_memory`], all of it, and nobody uses it any more.
pub unsafe fn return_memory(start: NonNull<u8>, size: usize) {
    let _errno = Errno::keep();
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(start.as_ptr().cast(), size) };
}

/// Maps more than `size` and cuts off what is not aligned.
fn map_aligned(size: usize, align: usize, access: Access) -> Option<NonNull<u8>> {
    let slack = align.saturating_sub(LEAST);
    let start = map(null_mut(), size.checked_add(slack)?, access)?;
    let before = start.addr().get().wrapping_neg() & (align - 1);
    // SAFETY: both ends of the fresh mapping.
    unsafe {
        if before > 0 {
            libc::munmap(start.as_ptr().cast(), before);
        }
        if slack > before {
            libc::munmap(start.as_ptr().add(before + size).cast(), slack - before);
        }
        Some(start.add(before))
    }
}

/// Maps `size` bytes, aligned if the system takes a hint: takes no more addresses than that, where these are limited.
fn map_near(size: usize, align: usize, access: Access) -> Option<NonNull<u8>> {
    let start = map_aligned(size, UNIT, access)?;
    let inside = start.addr().get() % align;
    if inside == 0 {
        return Some(start);
    }
    // Most systems fill a gap from its end. Unmapped first: both at once may be too much.
    // SAFETY: mapped above, and used by nobody.
    unsafe { libc::munmap(start.as_ptr().cast(), size) };
    let hint = start.as_ptr().wrapping_sub(inside).cast();
    let start = map(hint, size, access)?;
    if start.addr().get().is_multiple_of(UNIT) {
        return Some(start);
    }
    // SAFETY: as above.
    unsafe { libc::munmap(start.as_ptr().cast(), size) };
    map_aligned(size, UNIT, access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_are_given_back() {
        assert_eq!(whole_pages(4096, 8192, 4096), WholePages { before: 0, size: 8192, after: 0 });
        assert_eq!(whole_pages(4096, 65536, 16384), WholePages { before: 12288, size: 49152, after: 4096 });
        assert_eq!(whole_pages(4096, 8192, 16384), WholePages { before: 8192, size: 0, after: 0 });
        assert_eq!(whole_pages(16384, 8192, 16384), WholePages { before: 0, size: 0, after: 8192 });
        for (start, size) in [(0, 4096), (4096, 4096), (12288, 4096), (12288, 20480), (8192, 61440)] {
            let whole = whole_pages(start, size, 16384);
            assert_eq!(whole.before + whole.size + whole.after, size);
            assert!(whole.size.is_multiple_of(16384));
            assert!(whole.size == 0 || (start + whole.before).is_multiple_of(16384));
        }
    }
}
