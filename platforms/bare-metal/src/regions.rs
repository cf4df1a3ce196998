//! [`AddedRegions`]: regions that are added while the program runs.

use core::ptr::{NonNull, null_mut};

use coreheap::atomic::{AtomicPtr, AtomicUsize, Ordering};
use coreheap::{PageSource, Region, RegionRequest};

/// Up to `N` regions of any start and length, each handed to the heap whole. All zero, and without memory, until [`add`](Self::add).
#[derive(Debug)]
pub struct AddedRegions<const N: usize> {
    regions: [Added; N],
}

#[derive(Debug)]
struct Added {
    /// Null: there is room for a region here.
    start: AtomicPtr<u8>,
    /// 0: not there yet, or handed out.
    size: AtomicUsize,
}

impl<const N: usize> AddedRegions<N> {
    /// No regions.
    pub const fn new() -> Self {
        AddedRegions { regions: [const { Added { start: AtomicPtr::new(null_mut()), size: AtomicUsize::new(0) } }; N] }
    }

    /// Adds the `size` bytes from `start` on. False if `start` is null, `size` is 0, or there are `N` regions already: then nothing happened.
    /// For any context; the heap comes for the region when it needs memory.
    ///
    /// # Safety
    /// The bytes are valid for reads and writes, lie in no other region, and are used by nobody else as long as the heap and its blocks are.
    pub unsafe fn add(&self, start: *mut u8, size: usize) -> bool {
        let claim =
            |region: &&Added| region.start.compare_exchange(null_mut(), start, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if start.is_null() || size == 0 {
            return false;
        }
        let Some(region) = self.regions.iter().find(claim) else { return false };
        // Release pairs with `reserve`.
        region.size.store(size, Ordering::Release);
        true
    }
}

impl<const N: usize> Default for AddedRegions<N> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each region goes out once, by the promise of `add` it belongs to the heap then.
unsafe impl<const N: usize> PageSource for AddedRegions<N> {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.regions.iter().find_map(|region| {
            let size = region.size.load(Ordering::Acquire);
            let is_mine = size > 0
                && size >= request.min_size
                && region.size.compare_exchange(size, 0, Ordering::Acquire, Ordering::Relaxed).is_ok();
            let start = region.start.load(Ordering::Relaxed);
            if is_mine { Some(Region { start: NonNull::new(start)?, size }) } else { None }
        })
    }
}
