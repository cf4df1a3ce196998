//! Large pages and NUMA nodes, on Linux.

use core::ffi::c_void;

use coreheap::{Region, RegionRequest};
use libc::{MADV_POPULATE_WRITE, MAP_HUGE_SHIFT, MAP_HUGETLB, PROT_READ, PROT_WRITE, c_int};

use super::super::{NO_ACCESS, map, map_aligned};
use super::{LargePage, NodeError, Placement};
use crate::sizes::sizes_to_try;
use crate::system::errno::Errno;

pub use libc::{MPOL_BIND, MPOL_PREFERRED};

/// What a region in large pages has at most, unless more is needed: all of it is there from the start, used or not.
const MOST_PREFERRED: usize = 64 << 20;
/// No system has more nodes.
const NODES: usize = 1024;

/// A region in large pages, all of it there.
pub fn large_region(request: &RegionRequest, page: LargePage, placement: &Placement) -> Option<Region> {
    let request = RegionRequest { preferred_size: request.preferred_size.min(MOST_PREFERRED), ..*request };
    sizes_to_try(&request, page.size()).find_map(|size| {
        let start = map(room_for(size, request.preferred_align.max(page.size())), size, in_large_pages(page))?;
        let is_there = placement.apply(start.as_ptr().cast(), size).is_ok() && populate(start.as_ptr().cast(), size);
        if !is_there {
            // SAFETY: mapped above, and used by nobody.
            unsafe { libc::munmap(start.as_ptr().cast(), size) };
        }
        is_there.then_some(Region { start, size })
    })
}

fn in_large_pages(page: LargePage) -> (c_int, c_int) {
    (PROT_READ | PROT_WRITE, MAP_HUGETLB | (page.size().ilog2() as c_int) << MAP_HUGE_SHIFT)
}

/// Where a mapping would be aligned; null if the system shall choose. A hint, because it is free again: to map more and cut off the ends would
/// take large pages for them.
fn room_for(size: usize, align: usize) -> *mut c_void {
    let Some(room) = map_aligned(size, align, NO_ACCESS) else { return core::ptr::null_mut() };
    // SAFETY: mapped above, and used by nobody.
    unsafe { libc::munmap(room.as_ptr().cast(), size) };
    room.as_ptr().cast()
}

/// Has pages brought in now. A system that has set them apart may still not give them to this process, or not on this node: it would
/// end the process that touches them. Before Linux 5.14 there is no such question.
fn populate(start: *mut c_void, size: usize) -> bool {
    // SAFETY: a fresh mapping of ours.
    unsafe { libc::madvise(start, size, MADV_POPULATE_WRITE) == 0 || Errno::is(libc::EINVAL) }
}

/// Has memory come from this node when it is first touched.
pub fn set_policy(start: *mut c_void, size: usize, policy: c_int, node: usize) -> Result<(), NodeError> {
    const WORD: usize = usize::BITS as usize;
    let mut nodes = [0usize; NODES / WORD];
    *nodes.get_mut(node / WORD).ok_or(NodeError::NoSuchNode)? = 1 << (node % WORD);
    // The kernel looks at one node less than it is told.
    // SAFETY: a mapping of ours, and a mask as long as is said.
    let result = unsafe { libc::syscall(libc::SYS_mbind, start, size, policy, nodes.as_ptr(), NODES + 1, 0) };
    match result {
        0 => Ok(()),
        _ if Errno::is(libc::EINVAL) => Err(NodeError::NoSuchNode),
        _ => Err(NodeError::Refused),
    }
}
