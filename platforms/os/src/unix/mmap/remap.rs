//! Moving pages instead of copying them: Linux' `mremap`.
//!
//! *Role*: [`Mmap`](super::Mmap)'s `remap`.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        use core::ffi::c_void;

        use libc::MAP_FAILED;

        use super::super::errno::Errno;
        use super::super::os_page::page_size;
        use super::{FULL_ACCESS, map};

        /// What can be moved, in bytes: less is copied sooner.
        pub const REMAPS_FROM: usize = 1 << 20;

        /// Moves pages. A range that is several mappings, because it crosses the border of huge pages or because part of it was moved before,
        /// is moved in parts, and a short part that is still several is copied. False if nothing was moved.
        ///
        /// # Safety
        /// Whole pages of regions of ours that belong to the caller.
        pub unsafe fn move_pages(from: *mut c_void, to: *mut c_void, size: usize) -> bool {
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

        /// Moves pages of a single mapping in two steps. One step (`MREMAP_FIXED` from here to there) would do, but a kernel that then
        /// finds that `from` is no single mapping has unmapped `to` already. A failure changes nothing.
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
            if !is_mapped(from) {
                // QEMU does not know that `from` stays mapped, and refuses system calls that are to write there.
                map(from, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED));
            }
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

        /// Whether the system knows this page.
        fn is_mapped(page: *mut c_void) -> bool {
            let mut is_resident = 0;
            // SAFETY: room for the answer about one page.
            unsafe { libc::mincore(page, page_size(), &mut is_resident) == 0 }
        }
    } else {
        /// Nothing can be moved.
        pub const REMAPS_FROM: usize = usize::MAX;

        /// Never called.
        ///
        /// # Safety
        /// None is needed.
        pub unsafe fn move_pages(_: *mut core::ffi::c_void, _: *mut core::ffi::c_void, _: usize) -> bool {
            false
        }
    }
}
