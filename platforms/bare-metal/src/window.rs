//! [`Window`]: addresses that a kernel keeps for its heap, with frames mapped where and while they are needed.

use core::ptr::NonNull;

use coreheap::port::Once;
use coreheap::{PageSource, Region, RegionRequest};

/// A kernel's frame allocator and page tables, as far as its heap needs them. Called on any core, also from an interrupt that allocates or frees,
/// perhaps in the middle of another call; so a lock in here masks interrupts.
///
/// # Safety
/// A page that [`map`](Self::map) said yes to can be read and written on every core until it is unmapped, and reads as zero at first. Where a
/// core may remember that the page had no frame, its page fault handler looks again.
pub unsafe trait Frames: Send + Sync {
    /// Bytes in a page: a power of two.
    const PAGE_SIZE: usize = 4096;

    /// Maps a zeroed frame at `page`, which has none. False if there is no frame: the allocation is refused, and nothing is lost.
    fn map(&self, page: NonNull<u8>) -> bool;

    /// Unmaps the frame at `page` and takes it back, once no core can reach it any more: each has forgotten the page.
    ///
    /// # Safety
    /// `page` was mapped by [`map`](Self::map), and nobody uses its contents.
    unsafe fn unmap(&self, page: NonNull<u8>);

    /// Unmaps `count` pages from `page` on, of which the other cores need to be told but once (a TLB shootdown).
    ///
    /// # Safety
    /// As for [`unmap`](Self::unmap), for each.
    unsafe fn unmap_all(&self, page: NonNull<u8>, count: usize) {
        // SAFETY: the caller's pages.
        (0..count).for_each(|index| unsafe { self.unmap(page.add(index * Self::PAGE_SIZE)) });
    }
}

/// A range of addresses whose pages have frames while the heap uses them: `purge` gives those of free memory back.
#[derive(Debug)]
pub struct Window<F> {
    frames: F,
    start: NonNull<u8>,
    size: usize,
    once: Once,
}

// SAFETY: the addresses belong to the heap, by the promise of `new`.
unsafe impl<F: Send> Send for Window<F> {}
// SAFETY: as above.
unsafe impl<F: Sync> Sync for Window<F> {}

impl<F: Frames> Window<F> {
    /// The `size` bytes of addresses from `start` on, both multiples of the page size. Twice the RAM is enough; a start at a multiple of
    /// [`Geometry::ARENA_SIZE`](coreheap::Geometry::ARENA_SIZE) is found fastest.
    ///
    /// # Safety
    /// `start` is not null, and nothing else lies at these addresses.
    pub const unsafe fn new(start: *mut u8, size: usize, frames: F) -> Self {
        // SAFETY: the caller's promise.
        Window { frames, start: unsafe { NonNull::new_unchecked(start) }, size, once: Once::new() }
    }

    /// The frame allocator.
    pub fn frames(&self) -> &F {
        &self.frames
    }

    /// The pages of a range, from the first.
    fn pages(start: NonNull<u8>, size: usize) -> impl Iterator<Item = NonNull<u8>> {
        // SAFETY: the caller's range.
        (0..size / F::PAGE_SIZE).map(move |page| unsafe { start.add(page * F::PAGE_SIZE) })
    }
}

// SAFETY: the addresses go out once, and each page is mapped by its commit.
unsafe impl<F: Frames> PageSource for Window<F> {
    const FRESH_IS_ZERO: bool = true;
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DECOMMITTED_IS_ZERO: bool = true;
    const OS_PAGE_SIZE: usize = F::PAGE_SIZE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let fits = self.size >= request.min_size && self.once.is_first();
        if fits { self.first_region(0) } else { None }
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        (self.size >= min_size).then_some(Region { start: self.start, size: self.size })
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        let mapped = Self::pages(start, size).take_while(|page| self.frames.map(*page)).count();
        if mapped * F::PAGE_SIZE == size {
            return true;
        }
        // All or nothing.
        // SAFETY: mapped just now, and used by nobody yet.
        unsafe { self.frames.unmap_all(start, mapped) };
        false
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise: committed, so mapped, and used by nobody.
        unsafe { self.frames.unmap_all(start, size / F::PAGE_SIZE) };
        true
    }
}
