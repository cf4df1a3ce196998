//! [`Mmap`]: memory from the system's `mmap`.
//!
//! *Role*: the page source of [`Coreheap`](crate::Coreheap). Reserves big regions and gives idle parts back one by one.
//!
//! *Two modes*, decided at the first request and kept, because a region lives by the mode it was reserved in:
//! - usual: the system overcommits, so a region is usable as a whole at once, costs nothing before it is touched, and
//!   committing is no system call;
//! - strict (`vm.overcommit_memory` is 2, or [`Mmap::strict`]): a region is reserved without access, and what is committed
//!   counts against the system's limit. A refused commit is a refused allocation and not a killed process.
//!
//! *Contexts*: every call may be made from any thread, from signal handlers and in the child of a `fork`; nothing allocates,
//! nothing is locked, and `errno` is kept.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use coreheap::{PageSource, Region, RegionRequest};
use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, c_int, c_void};

use super::errno::Errno;
use crate::sizes::sizes_to_try;

const UNDECIDED: u8 = 0;
const USUAL: u8 = 1;
const STRICT: u8 = 2;

/// A page source over `mmap`.
///
/// | ability | how |
/// |---|---|
/// | reserve | `mmap` of the preferred size, or half of it, and so on down to the least; aligned by cutting off both ends |
/// | commit | nothing, or `mprotect` in strict mode |
/// | decommit | `MADV_DONTNEED`; a fresh mapping without access in strict mode and on other systems than Linux |
/// | discard | `MADV_DONTNEED`, on Linux |
/// | release | `munmap` |
/// | remap | `mremap`, on Linux 5.7 and later, not in strict mode |
/// | huge pages | `MADV_HUGEPAGE` on 64-bit Linux, from 8 MiB into a region on |
/// | zero | fresh and decommitted memory reads as zero |
#[derive(Debug)]
pub struct Mmap {
    mode: AtomicU8,
}

impl Mmap {
    /// Asks the system at the first request whether it overcommits.
    pub const fn new() -> Self {
        Mmap { mode: AtomicU8::new(UNDECIDED) }
    }

    /// Commits explicitly, whatever the system does: memory that is not committed cannot be accessed, and a system that refuses
    /// to commit makes the allocation fail.
    pub const fn strict() -> Self {
        Mmap { mode: AtomicU8::new(STRICT) }
    }

    /// Protection and flags of what is not committed.
    fn access(&self) -> Access {
        if self.is_strict() { NO_ACCESS } else { FULL_ACCESS }
    }

    fn is_strict(&self) -> bool {
        let mode = match self.mode.load(Relaxed) {
            UNDECIDED => {
                let mode = if system_overcommits() { USUAL } else { STRICT };
                // The first answer counts, also if the system's setting changes meanwhile.
                self.mode.compare_exchange(UNDECIDED, mode, Relaxed, Relaxed).err().unwrap_or(mode)
            }
            mode => mode,
        };
        mode == STRICT
    }
}

impl Default for Mmap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a region is a fresh private mapping, so it is nobody else's; the abilities are the system's, see the table.
unsafe impl PageSource for Mmap {
    const FRESH_IS_ZERO: bool = true;
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DECOMMITTED_IS_ZERO: bool = true;
    const DISCARDS: bool = cfg!(any(target_os = "linux", target_os = "android"));
    const RELEASES: bool = true;
    const REMAPS_FROM: usize = if cfg!(all(target_os = "linux", not(miri))) { 1 << 20 } else { usize::MAX };
    /// The least that systems have. Where pages are bigger, only whole ones are given back, and the rest is cleared.
    const OS_PAGE_SIZE: usize = 4096;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let _errno = Errno::keep();
        let page_size = page_size();
        let access = self.access();
        let sizes = || sizes_to_try(&request, page_size);
        let aligned = sizes().find_map(|size| {
            let region = Region { start: map_aligned(size, request.preferred_align, page_size, access)?, size };
            prefer_huge_pages(&region);
            Some(region)
        });
        // The alignment is only a wish.
        aligned.or_else(|| {
            let size = sizes().last()?;
            Some(Region { start: map(null_mut(), size, access)?, size })
        })
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        if !self.is_strict() {
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
        // SAFETY: a part of the range, which is a part of a region of ours whose contents nobody uses.
        let given = whole.size == 0 || unsafe { give_up(start.as_ptr().add(whole.before).cast(), whole.size, self.access()) };
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
        whole.size > 0 && unsafe { give_up(start.as_ptr().add(whole.before).cast(), whole.size, FULL_ACCESS) }
    }

    unsafe fn release(&self, region: Region) {
        let _errno = Errno::keep();
        // SAFETY: the caller's promise: a whole region of ours, used by nobody.
        unsafe { libc::munmap(region.start.as_ptr().cast(), region.size) };
    }

    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, size: usize) -> bool {
        let _errno = Errno::keep();
        let fits = [from.addr().get(), to.addr().get(), size].iter().all(|number| number % page_size() == 0);
        // In strict mode the move would need twice the commit for a moment and could fail half-way.
        // SAFETY: whole pages of regions of ours that belong to the caller.
        fits && !self.is_strict() && unsafe { move_pages(from.as_ptr().cast(), to.as_ptr().cast(), size) }
    }

    fn now_ms(&self) -> u64 {
        let _errno = Errno::keep();
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a valid place for the answer.
        unsafe { libc::clock_gettime(CLOCK, &mut now) };
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }
}

/// How much of a region stays in small pages at either end, on Linux.
#[cfg_attr(not(all(target_os = "linux", not(miri))), allow(dead_code))]
const SMALL_PAGES_AT_ENDS: usize = 8 << 20;

/// Protection and flags of a mapping.
type Access = (c_int, c_int);
/// Usable, and not counted against any limit before it is touched.
const FULL_ACCESS: Access = (PROT_READ | PROT_WRITE, NO_RESERVE);
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

fn page_size() -> usize {
    // On x86 the answer is known.
    if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return 4096;
    }
    // SAFETY: a plain question; the answer does not change.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

fn map(at: *mut c_void, size: usize, (protection, flags): Access) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping; where `flags` make it replace an old one, the caller says why it may.
    let start = unsafe { libc::mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0) };
    if start == MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

/// Maps more than `size` and cuts off what is not aligned.
fn map_aligned(size: usize, align: usize, page_size: usize, access: Access) -> Option<NonNull<u8>> {
    let slack = align.saturating_sub(page_size);
    let start = map(null_mut(), size.checked_add(slack)?, access)?;
    let before = start.addr().get().wrapping_neg() & slack;
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

/// Gives the contents of whole pages up, and in strict mode their commit too.
///
/// # Safety
/// Pages of a region of ours whose contents nobody uses.
unsafe fn give_up(start: *mut c_void, size: usize, (protection, flags): Access) -> bool {
    if cfg!(any(target_os = "linux", target_os = "android")) && protection != PROT_NONE {
        // SAFETY: the caller's promise.
        return unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) == 0 };
    }
    // A fresh mapping. To take access away would not do in strict mode: the pages would still count as committed.
    map(start, size, (protection, flags | MAP_FIXED)).is_some()
}

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        /// Asks for huge pages, but not at a region's ends. A heap fills a region from the start, and keeps its books at both ends:
        /// a small program has no use for pages of 2 MiB, a big one is faster with them. Where addresses are scarce regions are too small for
        /// that.
        fn prefer_huge_pages(region: &Region) {
            let Some(middle) = region.size.checked_sub(2 * SMALL_PAGES_AT_ENDS).filter(|size| *size > 0 && usize::BITS == 64) else { return };
            // SAFETY: a part of a fresh mapping; says how to back it, and may be refused.
            unsafe { libc::madvise(region.start.as_ptr().add(SMALL_PAGES_AT_ENDS).cast(), middle, libc::MADV_HUGEPAGE) };
        }

        /// Moves pages. A range that is several mappings, because it crosses the border of huge pages or because part of it was moved before,
        /// is moved in parts, and a short part that is still several is copied. False if nothing was moved.
        ///
        /// # Safety
        /// Whole pages of regions of ours that belong to the caller.
        unsafe fn move_pages(from: *mut c_void, to: *mut c_void, size: usize) -> bool {
            const COPIED: usize = 64 << 10;
            // SAFETY: the caller's promise.
            if unsafe { move_mapping(from, to, size) } {
                return true;
            }
            if !Errno::is(libc::EFAULT) || size <= COPIED {
                return false;
            }
            let half = (size / 2).next_multiple_of(page_size());
            for part in [0..half, half..size] {
                // SAFETY: parts of both ranges. What could not be moved lies where it lay.
                unsafe {
                    let (from, to) = (from.byte_add(part.start), to.byte_add(part.start));
                    if !move_pages(from, to, part.len()) {
                        to.cast::<u8>().copy_from_nonoverlapping(from.cast(), part.len());
                    }
                }
            }
            true
        }

        /// Moves pages of a single mapping in two steps. One step (`MREMAP_FIXED` from here to there) would do, but a kernel that then finds that `from`
        /// is no single mapping has unmapped `to` already. A failure changes nothing.
        ///
        /// # Safety
        /// As for [`move_pages`].
        unsafe fn move_mapping(from: *mut c_void, to: *mut c_void, size: usize) -> bool {
            let keep_addresses = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
            // The plain system call, because some C libraries pass rubbish for the new address, which is here where to begin to look.
            // SAFETY: the contents go to an address that the system picks; `from` stays mapped.
            let on_the_way = unsafe { libc::syscall(libc::SYS_mremap, from, size, size, keep_addresses, 0usize) };
            if on_the_way == -1 {
                return false;
            }
            let on_the_way = core::ptr::with_exposed_provenance_mut::<c_void>(on_the_way as usize);
            // SAFETY: a single mapping of our own, onto memory that belongs to the caller.
            let moved = unsafe { libc::mremap(on_the_way, size, size, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to) };
            if moved == MAP_FAILED {
                // Too many mappings, or the kernel is out of memory itself. `to` is still there, or a hole that this fills.
                map(to, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED_NOREPLACE));
                // SAFETY: two ranges that belong to us; the first is then used by nobody.
                unsafe {
                    to.cast::<u8>().copy_from_nonoverlapping(on_the_way.cast(), size);
                    libc::munmap(on_the_way, size);
                }
            }
            true
        }
    } else {
        fn prefer_huge_pages(_: &Region) {}

        unsafe fn move_pages(_: *mut c_void, _: *mut c_void, _: usize) -> bool {
            false
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", target_os = "android"))] {
        /// A read of shared memory, exact to a few milliseconds.
        const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
        const NO_RESERVE: c_int = libc::MAP_NORESERVE;

        fn system_overcommits() -> bool {
            let _errno = Errno::keep();
            let mut first = [0u8; 1];
            // SAFETY: a constant name, and room for the one byte asked for.
            unsafe {
                let file = libc::open(c"/proc/sys/vm/overcommit_memory".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
                if file >= 0 {
                    libc::read(file, first.as_mut_ptr().cast(), 1);
                    libc::close(file);
                }
            }
            first != *b"2"
        }
    } else {
        const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
        /// Where it exists at all, it is not needed.
        const NO_RESERVE: c_int = 0;

        fn system_overcommits() -> bool {
            true
        }
    }
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
