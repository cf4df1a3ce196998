//! The system calls that move pages, and that make one mapping of several.

use core::ffi::c_void;

use coreheap::Region;
use libc::MAP_FAILED;

use super::super::{FULL_ACCESS, kernel, map};
use crate::system::errno::Errno;
use crate::system::os_page::page_size;

/// Touches a new region while it is one mapping. Its parts become one again after pages have come and gone between them: the kernel joins no
/// mappings that were touched for the first time when they were two.
///
/// # Safety
/// A region that nobody uses.
pub unsafe fn begin(region: &Region) {
    /// What one touch may cost: a huge page.
    const TOUCHED: usize = 2 << 20;
    // SAFETY: the caller's promise. It reads as zero and costs nothing afterwards, as before.
    unsafe {
        region.start.write_volatile(0);
        kernel::give_up(region.start.as_ptr().cast(), region.size.min(TOUCHED));
    }
}

/// Moves pages of several mappings, as at the border of huge pages, one after the other. Short ones are copied.
///
/// # Safety
/// Whole pages of regions of ours that belong to the caller.
pub unsafe fn move_each(from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
    const COPIED: usize = 64 << 10;
    if !Errno::is(libc::EFAULT) {
        return false;
    }
    for (part, length) in mappings(from, size) {
        let done = part.addr() - from.addr();
        let to = to.wrapping_byte_add(done);
        let room = if done + length == size { room - done } else { length };
        // SAFETY: parts of both ranges. What could not be moved lies where it lay.
        unsafe {
            if length <= COPIED || !move_mapping(part, to, length, room) {
                to.cast::<u8>().copy_from_nonoverlapping(part.cast(), length);
            }
        }
    }
    true
}

/// Moves pages of a single mapping in steps. One (`MREMAP_FIXED` from here to there) would do, but a kernel that then finds that `from` is
/// no single mapping, or that there is no memory for a longer one, has unmapped `to` already, and another thread may map something there. A
/// failure changes nothing.
///
/// The mapping at `to` is as long as there is room: what the program writes behind the pages belongs to the same one.
///
/// # Safety
/// Whole pages of regions of ours that belong to the caller.
pub unsafe fn move_mapping(from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
    // SAFETY: the caller's promise.
    let Some(on_the_way) = (unsafe { move_away(from, size) }) else { return false };
    // SAFETY: a single mapping of our own, onto memory that belongs to the caller; if it is refused that is used by nobody else.
    unsafe {
        let grown = libc::mremap(on_the_way, size, room, libc::MREMAP_MAYMOVE);
        if grown == MAP_FAILED {
            copy_and_unmap(on_the_way, to, size, size);
        } else {
            move_onto(grown, to, room, size);
        }
    }
    true
}

/// Moves a mapping to where another one is, or copies the `used` bytes at its start and unmaps it.
///
/// # Safety
/// A single mapping of ours, `size` long as the other one, which belongs to the caller, who does not use its contents.
unsafe fn move_onto(from: *mut c_void, to: *mut c_void, size: usize, used: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if libc::mremap(from, size, size, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to) == MAP_FAILED {
            // Too many mappings, which is found out while `to` is still there; or the kernel has not a page left for its own lists: then
            // it may be a hole, which this fills.
            map(to, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED_NOREPLACE));
            copy_and_unmap(from, to, used, size);
        }
    }
}

/// Copies the first `used` bytes of a mapping of `size`, and unmaps it.
///
/// # Safety
/// Both ranges belong to the caller, who does not use the first one afterwards.
unsafe fn copy_and_unmap(from: *mut c_void, to: *mut c_void, used: usize, size: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(from.cast(), used);
        libc::munmap(from, size);
    }
}

/// Moves pages of a single mapping to an address that the system picks. They stay mapped here, and read as zero.
///
/// # Safety
/// Whole pages of regions of ours that belong to the caller.
unsafe fn move_away(from: *mut c_void, size: usize) -> Option<*mut c_void> {
    let keep_addresses = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    // The plain system call, because some C libraries pass rubbish for the new address, which is here where to begin to look.
    // SAFETY: `from` stays mapped.
    let on_the_way = unsafe { libc::syscall(libc::SYS_mremap, from, size, size, keep_addresses, 0usize) };
    if on_the_way == -1 {
        return None;
    }
    if !is_mapped(from) {
        // QEMU does not know that `from` stays mapped, and refuses system calls that are to write there.
        map(from, size, (FULL_ACCESS.0, FULL_ACCESS.1 | libc::MAP_FIXED));
    }
    Some(core::ptr::with_exposed_provenance_mut(on_the_way as usize))
}

/// Maps pages anew, all zero, with whatever was asked for this memory. Whether they are a part of a neighbour's mapping now.
///
/// A mapping that has no pages, and never had any, gets the numbers of where it is moved to. So it is moved away, which leaves one
/// without pages, and that is moved away and back. A flag that neighbours do not have makes it a mapping of its own before, and a part
/// of theirs after.
///
/// # Safety
/// Whole pages of regions of ours that belong to the caller, who does not use the contents.
pub unsafe fn renew(start: *mut c_void, size: usize) -> bool {
    // SAFETY: the caller's promise, also for each part. What is moved on the way is unmapped there, or moved back.
    unsafe {
        if libc::madvise(start, size, libc::MADV_DONTDUMP) == 0 {
            for (part, length) in mappings(start, size) {
                if let Some(old) = move_away(part, length) {
                    libc::munmap(old, length);
                }
                if let Some(fresh) = move_away(part, length) {
                    move_onto(fresh, part, length, 0);
                }
            }
        }
        libc::madvise(start, size, libc::MADV_DODUMP);
        if cfg!(target_pointer_width = "64") {
            for (part, length) in mappings(start, size) {
                // What came from a region's end may have huge pages here, as its neighbours have. May be refused.
                if is_border(part) && is_border(part.wrapping_byte_add(length)) {
                    libc::madvise(part, length, libc::MADV_HUGEPAGE);
                }
            }
        }
    }
    !is_border(start) || !is_border(start.wrapping_byte_add(size))
}

/// The parts of these pages that lie in one mapping each, as these are when it comes to them.
fn mappings(start: *mut c_void, size: usize) -> impl Iterator<Item = (*mut c_void, usize)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let part = start.wrapping_byte_add(done);
        let length = (done < size).then(|| length_of_mapping(part, size - done))?;
        done += length;
        Some((part, length))
    })
}

/// How many of these bytes lie in one mapping with the first of them.
fn length_of_mapping(start: *mut c_void, size: usize) -> usize {
    if is_one(start, size) {
        return size;
    }
    let page = page_size();
    let (mut pages, mut more) = (1, size / page);
    while more - pages > 1 {
        let middle = pages.midpoint(more);
        *(if is_one(start, middle * page) { &mut pages } else { &mut more }) = middle;
    }
    pages * page
}

/// Whether a mapping ends and another begins here.
pub fn is_border(at: *mut c_void) -> bool {
    let page = page_size();
    !is_one(at.wrapping_byte_sub(page), 2 * page)
}

/// Whether these pages lie in one mapping.
pub fn is_one(start: *mut c_void, size: usize) -> bool {
    // Asks for one page more, without moving them. Other memory lies there; only whether they are one mapping matters, which the system
    // looks at first.
    // SAFETY: grows into what nobody has, if at all, and that goes at once.
    unsafe {
        if libc::mremap(start, size, size + page_size(), 0) != MAP_FAILED {
            libc::munmap(start.wrapping_byte_add(size), page_size());
            return true;
        }
    }
    !Errno::is(libc::EFAULT)
}

/// Whether the system knows this page.
fn is_mapped(page: *mut c_void) -> bool {
    let mut is_resident = 0;
    // SAFETY: room for the answer about one page.
    unsafe { libc::mincore(page, page_size(), &mut is_resident) == 0 }
}
