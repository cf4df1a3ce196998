//! [`AddedRegions`]: regions that are added while the program runs.

use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};

use coreheap::port::sync::{AtomicPtr, AtomicUsize, Ordering};
use coreheap::{PageSource, Region, RegionRequest};

/// Up to `N` regions of any start and length, each handed to the heap whole. All zero, and without memory, until [`add`](Self::add). What touches a
/// region that the heap did not get yet becomes a part of it. One that is too short for the heap waits in its place, of the `N`, for such a part.
#[derive(Debug)]
pub struct AddedRegions<const N: usize> {
    regions: [Added; N],
    /// How the heap began: not yet (0), [`BY_FIRST`] or [`BY_RESERVE`].
    begun: AtomicUsize,
}

/// With the first of the regions, which several contexts may use at a time: it goes out in no other way.
const BY_FIRST: usize = 1;
/// With any region, handed out once: none is the first any more.
const BY_RESERVE: usize = 2;

/// In `Added::size`: the region was handed out.
const OUT: usize = 1 << (usize::BITS - 1);

#[derive(Debug)]
struct Added {
    /// Null: there is room for a region here.
    start: AtomicPtr<u8>,
    /// 0: not there yet, or about to be joined with another.
    size: AtomicUsize,
}

impl Added {
    /// The region, handed out or not, if there is one.
    fn get(&self) -> Option<Region> {
        // Acquire pairs with `put`.
        let size = self.size.load(Ordering::Acquire) & !OUT;
        let start = NonNull::new(self.start.load(Ordering::Relaxed))?;
        (size > 0).then_some(Region { start, size })
    }

    /// Takes the region, which leaves `left`, if it is there, was not handed out, and is wanted.
    fn take(&self, left: impl Fn(usize) -> usize, is_wanted: impl Fn(Region) -> bool) -> Option<Region> {
        let region = self.get().filter(|region| is_wanted(*region))?;
        self.size.compare_exchange(region.size, left(region.size), Ordering::Acquire, Ordering::Relaxed).ok()?;
        // Another one of the same size may have come to this place since it was looked at.
        Some(Region { start: NonNull::new(self.start.load(Ordering::Relaxed))?, ..region })
    }

    /// Makes this a region. The caller has taken the one that was here, or claimed the room for it.
    fn put(&self, region: Region) {
        self.start.store(region.start.as_ptr(), Ordering::Relaxed);
        self.size.store(region.size, Ordering::Release);
    }
}

impl<const N: usize> AddedRegions<N> {
    /// No regions.
    pub const fn new() -> Self {
        let regions = [const { Added { start: AtomicPtr::new(null_mut()), size: AtomicUsize::new(0) } }; N];
        AddedRegions { regions, begun: AtomicUsize::new(0) }
    }

    /// Begins in this way; false if the heap has begun in the other one.
    fn begin(&self, way: usize) -> bool {
        // In no order: what regions hold comes with them.
        self.begun.compare_exchange(0, way, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|begun| begun == way, |_| true)
    }

    /// Adds the `size` bytes from `start` on. False if `start` is null, `size` is 0 or more than `isize::MAX`, the address space ends before, some of
    /// the bytes were added already, or there are `N` regions, of which none can take them up: then nothing happened. For any context, one at a
    /// time; the heap comes for the region when it needs memory.
    ///
    /// # Safety
    /// The bytes are valid for reads and writes, and used by nobody else as long as the heap and its blocks are. No call overlaps another one; where
    /// the target has no compare-and-swap, and the feature `critical-section` is off, nor does one of the heap's, and those do not overlap each other.
    pub unsafe fn add(&self, start: *mut u8, size: usize) -> bool {
        let Some(start) = NonNull::new(start).filter(|_| size > 0 && size <= isize::MAX as usize) else { return false };
        let mut region = Region { start, size };
        let reaches_out = start.addr().get().checked_add(size - 1).is_none();
        if reaches_out || self.regions.iter().filter_map(Added::get).any(|other| overlap(region, other)) {
            return false;
        }
        let mut home = None;
        for added in &self.regions {
            let is_wanted = |other: Region| other.size <= isize::MAX as usize - region.size && touch(region, other);
            if let Some(other) = added.take(|_| 0, is_wanted) {
                region = join(region, other);
                if home.is_none() {
                    home = Some(added);
                } else {
                    added.start.store(null_mut(), Ordering::Relaxed);
                }
            }
        }
        let claim = |added: &&Added| {
            added.start.compare_exchange(null_mut(), start.as_ptr(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let home = home.or_else(|| self.regions.iter().find(claim));
        home.inspect(|added| added.put(region)).is_some()
    }
}

/// Whether two regions have a byte in common.
fn overlap(one: Region, other: Region) -> bool {
    let (one_start, other_start) = (one.start.addr().get(), other.start.addr().get());
    one_start.wrapping_sub(other_start) < other.size || other_start.wrapping_sub(one_start) < one.size
}

/// Whether one of them begins where the other ends.
fn touch(one: Region, other: Region) -> bool {
    let is_behind = |one: Region, other: Region| one.start.addr().get().wrapping_add(one.size) == other.start.addr().get();
    is_behind(one, other) || is_behind(other, one)
}

/// Two regions that touch.
fn join(one: Region, other: Region) -> Region {
    // A pointer that may be used for both.
    let lower = one.start.expose_provenance().min(other.start.expose_provenance());
    let start = NonNull::new(with_exposed_provenance_mut(lower.get())).unwrap_or(one.start);
    Region { start, size: one.size + other.size }
}

impl<const N: usize> Default for AddedRegions<N> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each region goes out once, by the promise of `add` it belongs to the heap then; the first one as the first region, or by `reserve`.
unsafe impl<const N: usize> PageSource for AddedRegions<N> {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let is_enough = |region: Region| region.size >= request.min_size;
        self.regions.iter().enumerate().find_map(|(index, added)| {
            let may_take = added.get().is_some_and(is_enough) && (self.begin(BY_RESERVE) || index > 0);
            if may_take { added.take(|size| size | OUT, is_enough) } else { None }
        })
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        let first = self.regions.first()?;
        let is_enough = |region: Region| region.size >= min_size;
        if !first.get().is_some_and(is_enough) || !self.begin(BY_FIRST) {
            return None;
        }
        // From now on it stays what it is.
        let _ = first.take(|size| size | OUT, is_enough);
        let is_out = first.size.load(Ordering::Acquire) & OUT != 0;
        first.get().filter(|region| is_out && is_enough(*region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_is_the_region_that_is_there_then() {
        let mut memory = [0_u8; 100];
        let start = &raw mut memory[0];
        let regions = AddedRegions::<2>::new();
        // SAFETY: memory of the test's own.
        let add = |from: usize, to: usize| unsafe { regions.add(start.wrapping_add(from), to - from) };
        assert!(add(0, 10) && add(20, 30));
        // While a context is about to take the second region, that is joined with the first one, and another of its size has its place.
        let place = &regions.regions[1];
        let taken = place.take(|size| size | OUT, |_| add(10, 20) && add(50, 60)).expect("a region of the same size");
        assert_eq!(taken.start.as_ptr(), start.wrapping_add(50));
    }

    #[test]
    fn a_region_is_the_first_or_is_reserved() {
        let mut memory = [0_u8; 100];
        let start = &raw mut memory[0];
        let reserve = |regions: &AddedRegions<2>| {
            regions
                .reserve(RegionRequest { min_size: 10, preferred_size: 10, preferred_align: 1, is_for_one_block: false })
                .map(|region| region.size)
        };
        for is_reserved_first in [false, true] {
            let regions = AddedRegions::<2>::new();
            let first = || regions.first_region(10).map(|region| region.size);
            // SAFETY: memory of the test's own.
            let add = |from: usize, to: usize| unsafe { regions.add(start.wrapping_add(from), to - from) };
            assert_eq!((first(), reserve(&regions)), (None, None));
            assert!(add(0, 5));
            assert_eq!((first(), reserve(&regions)), (None, None), "too small, and nothing is decided");
            assert!(add(5, 20) && add(30, 60));
            if is_reserved_first {
                assert_eq!([reserve(&regions), first(), reserve(&regions)], [Some(20), None, Some(30)]);
            } else {
                assert_eq!([first(), reserve(&regions), first(), reserve(&regions)], [Some(20), Some(30), Some(20), None]);
            }
        }
    }
}
