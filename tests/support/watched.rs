//! A page source that is watched: every call is counted, checked against the contract, and kept within a budget.

use alloc::vec::Vec;
use core::ptr::NonNull;

use coreheap::port::sync::{AtomicUsize, Ordering};
use coreheap::{PageSource, Region, RegionRequest};

use crate::lock::Lock;
use crate::refusals::{Call, Refusals};

/// What a watched source did. Lives longer than the heap, so that what happens when that is dropped can be seen.
#[derive(Default)]
pub struct Ledger {
    budget: usize,
    refusals: Refusals,
    regions: Lock<Vec<Region>>,
    decommitted: AtomicUsize,
    clock: AtomicUsize,
}

impl Ledger {
    /// Nothing so far; the source is held to `budget` bytes in all.
    pub fn new(budget: usize) -> Self {
        Ledger { budget, ..Self::default() }
    }

    /// Which calls came.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// How many regions the heap has.
    pub fn regions_out(&self) -> usize {
        self.regions.lock().len()
    }

    /// How many bytes were decommitted in all.
    pub fn bytes_decommitted(&self) -> usize {
        self.decommitted.load(Ordering::Relaxed)
    }

    fn bytes_out(&self) -> usize {
        self.regions.lock().iter().map(|region| region.size).sum()
    }

    /// The index of the region that these bytes lie in.
    fn find(&self, start: NonNull<u8>, size: usize) -> usize {
        let inside = |region: &Region| {
            let offset = start.addr().get().wrapping_sub(region.start.addr().get());
            offset < region.size && size <= region.size - offset
        };
        let found = self.regions.lock().iter().position(inside);
        found.unwrap_or_else(|| panic!("{size} bytes at {start:?} are not inside a region"))
    }
}

/// `S`, watched.
pub struct Watched<'a, S> {
    source: S,
    ledger: &'a Ledger,
}

impl<'a, S: PageSource> Watched<'a, S> {
    /// `source`, with what happens written into `ledger`.
    pub fn new(source: S, ledger: &'a Ledger) -> Self {
        assert!(S::OS_PAGE_SIZE.is_power_of_two());
        Watched { source, ledger }
    }

    /// What happened.
    pub fn ledger(&self) -> &'a Ledger {
        self.ledger
    }

    fn check_range(start: NonNull<u8>, size: usize) {
        let whole_pages = start.addr().get().is_multiple_of(S::OS_PAGE_SIZE) && size.is_multiple_of(S::OS_PAGE_SIZE);
        assert!(size > 0 && whole_pages, "{size} bytes at {start:?} are not whole OS pages");
    }

    /// Memory that the source says is zero, looked at here and there.
    ///
    /// # Safety
    /// The bytes are readable, and nobody writes them.
    unsafe fn check_zero(start: NonNull<u8>, size: usize) {
        for at in (0..size).step_by(509) {
            // SAFETY: the caller's promise.
            assert_eq!(unsafe { start.add(at).read() }, 0, "the source says that fresh memory is zero, and it is not");
        }
    }
}

// SAFETY: whatever goes out is the inner source's.
unsafe impl<S: PageSource> PageSource for Watched<'_, S> {
    const FRESH_IS_ZERO: bool = S::FRESH_IS_ZERO;
    const COMMITS: bool = S::COMMITS;
    const DECOMMITS: bool = S::DECOMMITS;
    const DECOMMITTED_IS_ZERO: bool = S::DECOMMITTED_IS_ZERO;
    const DISCARDS: bool = S::DISCARDS;
    const RELEASES: bool = S::RELEASES;
    const GROWS: bool = S::GROWS;
    const JOINS: bool = S::JOINS;
    const REMAPS: bool = S::REMAPS;
    const OS_PAGE_SIZE: usize = S::OS_PAGE_SIZE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.ledger.refusals.admit(Call::Reserve);
        let left = self.ledger.budget.saturating_sub(self.ledger.bytes_out());
        if request.min_size > left {
            return None;
        }
        let region = self.source.reserve(RegionRequest { preferred_size: request.preferred_size.min(left), ..request })?;
        assert!(region.size >= request.min_size, "a source that cannot give as much as is needed refuses");
        let (first, last) = (region.start.addr().get(), region.start.addr().get() - 1 + region.size);
        assert!(last >= first, "the region wraps around the end of the address space");
        for other in self.ledger.regions.lock().iter() {
            let start = other.start.addr().get();
            assert!(last < start || first > start - 1 + other.size, "{region:?} overlaps {other:?}");
        }
        if S::FRESH_IS_ZERO && !S::COMMITS {
            // SAFETY: just handed out, to be used at once.
            unsafe { Self::check_zero(region.start, region.size) };
        }
        self.ledger.regions.lock().push(region);
        self.ledger.refusals.grant(Call::Reserve);
        Some(region)
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.ledger.refusals.admit(Call::Commit);
        Self::check_range(start, size);
        self.ledger.find(start, size);
        // SAFETY: the caller's promise.
        unsafe { self.source.commit(start, size) }
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.ledger.refusals.admit(Call::Decommit);
        Self::check_range(start, size);
        self.ledger.find(start, size);
        // SAFETY: the caller's promise.
        let done = unsafe { self.source.decommit(start, size) };
        if done {
            self.ledger.decommitted.fetch_add(size, Ordering::Relaxed);
        }
        done
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        self.ledger.refusals.admit(Call::Discard);
        Self::check_range(start, size);
        self.ledger.find(start, size);
        // SAFETY: the caller's promise.
        unsafe { self.source.discard(start, size) }
    }

    unsafe fn release(&self, region: Region) {
        self.ledger.refusals.admit(Call::Release);
        let index = self.ledger.find(region.start, region.size);
        let out = self.ledger.regions.lock().swap_remove(index);
        assert_eq!((out.start, out.size), (region.start, region.size), "a region is released whole, as grown");
        // SAFETY: the caller's promise.
        unsafe { self.source.release(region) }
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        self.ledger.refusals.admit(Call::Grow);
        let left = self.ledger.budget.saturating_sub(self.ledger.bytes_out());
        if min_size > left {
            return 0;
        }
        let index = self.ledger.find(region.start, region.size);
        assert_eq!(self.ledger.regions.lock()[index].size, region.size, "a region is grown as it is");
        // SAFETY: the caller's promise.
        let added = unsafe { self.source.grow(region, min_size, preferred_size.min(left).max(min_size)) };
        assert!(added == 0 || added >= min_size, "a source that cannot grow as much as is needed refuses");
        self.ledger.regions.lock()[index].size += added;
        added
    }

    unsafe fn remap(&self, region: Region, size: usize) -> Option<Region> {
        self.ledger.refusals.admit(Call::Remap);
        Self::check_range(region.start, size);
        if size.saturating_sub(region.size) > self.ledger.budget.saturating_sub(self.ledger.bytes_out()) {
            return None;
        }
        let index = self.ledger.find(region.start, region.size);
        let out = self.ledger.regions.lock()[index];
        assert_eq!((out.start, out.size), (region.start, region.size), "a region is remapped whole, as it is");
        // SAFETY: the caller's promise.
        let remapped = unsafe { self.source.remap(region, size) }?;
        assert!(remapped.size >= size && remapped.start.addr().get().is_multiple_of(S::OS_PAGE_SIZE));
        // Others may have come and gone meanwhile.
        let index = self.ledger.find(region.start, region.size);
        self.ledger.regions.lock()[index] = remapped;
        self.ledger.refusals.grant(Call::Remap);
        Some(remapped)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.source.pointer_at(address)
    }

    fn has_few_addresses(&self) -> bool {
        self.source.has_few_addresses()
    }

    fn now_ms(&self) -> u64 {
        let now = self.source.now_ms();
        assert!(
            self.ledger.clock.fetch_max(now as usize, Ordering::Relaxed) as u64 <= now || now as usize as u64 != now,
            "the clock runs backwards"
        );
        now
    }
}
