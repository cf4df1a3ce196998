//! Page sources that need no platform: fixed memory, and limits on any source.
//!
//! *Role*: [`FixedRegion`] and [`Regions`] for memory that a program has; [`Limited`] around any source; [`NoPages`] for none.

use core::ptr::NonNull;

use crate::page_source::{PageSource, Region, RegionRequest};
use crate::sync::{AtomicUsize, Ordering};

/// Refuses every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPages;

// SAFETY: hands out nothing.
unsafe impl PageSource for NoPages {
    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }
}

/// A list of regions, each handed out whole, the first that is big enough first.
#[derive(Debug)]
pub struct Regions<const N: usize> {
    regions: [Region; N],
    /// Bit `n`: region `n` was handed out.
    taken: AtomicUsize,
}

/// One region, for example a static array.
pub type FixedRegion = Regions<1>;

impl<const N: usize> Regions<N> {
    /// Over memory that the heap may have for good.
    ///
    /// # Safety
    /// Each region is valid for reads and writes, overlaps no other, and is used by nobody else as long as the heap and its blocks are.
    pub const unsafe fn new(regions: [Region; N]) -> Self {
        const { assert!(N <= usize::BITS as usize, "at most as many regions as a word has bits") };
        Regions { regions, taken: AtomicUsize::new(0) }
    }
}

impl FixedRegion {
    /// Over the `size` bytes from `start` on.
    ///
    /// # Safety
    /// As for [`Regions::new`]; `start` is not null.
    pub const unsafe fn over(start: *mut u8, size: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Regions::new([Region { start: NonNull::new_unchecked(start), size }]) }
    }
}

// SAFETY: each region goes out once, by the promise of `new` it belongs to the heap then.
unsafe impl<const N: usize> PageSource for Regions<N> {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        (0..N).filter(|index| self.regions[*index].size >= request.min_size).find_map(|index| {
            let bit = 1 << index;
            (self.taken.fetch_or(bit, Ordering::AcqRel) & bit == 0).then(|| self.regions[index])
        })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let holds = |region: &&Region| address.wrapping_sub(region.start.addr().get()) < region.size;
        let found = if N == 1 { self.regions.first() } else { self.regions.iter().find(holds) };
        found.map_or(core::ptr::null_mut(), |region| region.start.as_ptr().with_addr(address))
    }
}

/// Any source, with a hard limit on the bytes it may have out: committed ones if the source commits, reserved ones if not. Only a source
/// that [grows](PageSource::grow) a region by more than it is asked for can exceed it, by less than one of its pages.
#[derive(Debug)]
pub struct Limited<S> {
    source: S,
    limit: usize,
    used: AtomicUsize,
}

impl<S: PageSource> Limited<S> {
    /// `source`, but no more than `limit` bytes of it.
    pub const fn new(source: S, limit: usize) -> Self {
        Limited { source, limit, used: AtomicUsize::new(0) }
    }

    /// How many bytes are out.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The source inside.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Takes `size` bytes from what is left, if that is enough.
    fn charge(&self, size: usize) -> bool {
        self.charge_up_to(size, size).is_some()
    }

    /// Takes `most` bytes from what is left, or less, but `least`; returns how many.
    fn charge_up_to(&self, least: usize, most: usize) -> Option<usize> {
        let charge = |used: usize| Some(most.min(self.limit.saturating_sub(used))).filter(|charge| *charge >= least);
        let used = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| Some(used + charge(used)?)).ok()?;
        charge(used)
    }

    fn refund(&self, size: usize) {
        self.used.fetch_sub(size, Ordering::AcqRel);
    }
}

// SAFETY: whatever goes out is the inner source's.
unsafe impl<S: PageSource> PageSource for Limited<S> {
    const FRESH_IS_ZERO: bool = S::FRESH_IS_ZERO;
    const COMMITS: bool = S::COMMITS;
    const DECOMMITS: bool = S::DECOMMITS;
    const DECOMMITTED_IS_ZERO: bool = S::DECOMMITTED_IS_ZERO;
    const DISCARDS: bool = S::DISCARDS;
    const RELEASES: bool = S::RELEASES;
    const GROWS: bool = S::GROWS;
    const JOINS: bool = S::JOINS;
    const REMAPS_FROM: usize = S::REMAPS_FROM;
    const OS_PAGE_SIZE: usize = S::OS_PAGE_SIZE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if S::COMMITS {
            // Tables are committed in proportion to the region, so one much bigger than the limit would eat it up.
            let preferred_size = request.preferred_size.min(self.limit.saturating_mul(4)).max(request.min_size);
            return self.source.reserve(RegionRequest { preferred_size, ..request });
        }
        let charged = self.charge_up_to(request.min_size, request.preferred_size)?;
        let Some(region) = self.source.reserve(RegionRequest { preferred_size: charged, ..request }) else {
            self.refund(charged);
            return None;
        };
        let beyond = region.size.saturating_sub(charged);
        if self.charge(beyond) {
            self.refund(charged.saturating_sub(region.size));
            return Some(region);
        }
        // What goes beyond the limit is left unused, unless the region has to come back whole.
        if !S::RELEASES {
            return Some(Region { start: region.start, size: charged });
        }
        self.refund(charged);
        // SAFETY: just handed out, and used by nobody.
        unsafe { self.source.release(region) };
        None
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        if !self.charge(size) {
            return false;
        }
        // SAFETY: the caller's promise.
        let committed = unsafe { self.source.commit(start, size) };
        if !committed {
            self.refund(size);
        }
        committed
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise.
        let decommitted = unsafe { self.source.decommit(start, size) };
        if decommitted && S::COMMITS {
            self.refund(size);
        }
        decommitted
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise. What is discarded stays committed, and counts.
        unsafe { self.source.discard(start, size) }
    }

    unsafe fn release(&self, region: Region) {
        if !S::COMMITS {
            self.refund(region.size);
        }
        // SAFETY: the caller's promise.
        unsafe { self.source.release(region) }
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        if S::COMMITS {
            // SAFETY: the caller's promise.
            return unsafe { self.source.grow(region, min_size, preferred_size) };
        }
        let Some(charged) = self.charge_up_to(min_size, preferred_size) else { return 0 };
        // SAFETY: the caller's promise.
        let added = unsafe { self.source.grow(region, min_size, charged) };
        self.refund(charged.saturating_sub(added));
        // A source that gives more than it was asked for, because it counts in whole pages, may exceed the limit by so much.
        self.used.fetch_add(added.saturating_sub(charged), Ordering::AcqRel);
        added
    }

    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.source.remap(from, to, size) }
    }

    #[inline(always)]
    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.source.pointer_at(address)
    }

    fn now_ms(&self) -> u64 {
        self.source.now_ms()
    }
}
