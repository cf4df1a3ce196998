//! Page sources that need no platform: fixed memory, and limits on any source.
//!
//! *Role*: [`FixedRegion`] and [`Regions`] for memory that a program has; [`Limited`] around any source; [`NoPages`] for none.

use core::ptr::NonNull;

use crate::base::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::source::once::Once;
use crate::source::page_source::{PageSource, Region, RegionRequest};

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
    once: [Once; N],
}

/// One region, for example a static array.
pub type FixedRegion = Regions<1>;

impl<const N: usize> Regions<N> {
    /// Over memory that the heap may have for good.
    ///
    /// # Safety
    /// Each region is valid for reads and writes, overlaps no other, and is used by nobody else as long as the heap and its blocks are. Where the
    /// target has no compare-and-swap, and the feature `critical-section` is off, contexts that use the heap nest, as interrupts do.
    pub const unsafe fn new(regions: [Region; N]) -> Self {
        Regions { regions, once: [const { Once::new() }; N] }
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

// SAFETY: each region goes out once (Z1); by the promise of `new` it belongs to the heap then.
unsafe impl<const N: usize> PageSource for Regions<N> {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let mut regions = self.regions.iter().zip(&self.once);
        regions.find(|(region, once)| region.size >= request.min_size && once.is_first()).map(|(region, _)| *region)
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        self.regions.first().copied().filter(|region| region.size >= min_size)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let holds = |region: &&Region| address.wrapping_sub(region.start.addr().get()) < region.size;
        let found = if N == 1 { self.regions.first() } else { self.regions.iter().find(holds) };
        found.map_or(core::ptr::null_mut(), |region| region.start.as_ptr().with_addr(address))
    }
}

/// Any source, with a hard limit on the bytes it may have out: committed ones if the source commits, reserved ones if not, or if it takes back whole
/// regions only. What goes beyond the limit of a region that the source gives is cut off, and left unused. Only a source that
/// [grows](PageSource::grow) or [remaps](PageSource::remap) a region by more than it is asked for, in whole OS pages, can exceed it. What it refuses to
/// decommit stays counted, also after its region was released. While a context waits for the source, as much as it may get is held back from others.
#[derive(Debug)]
pub struct Limited<S> {
    source: S,
    limit: usize,
    /// Counted in no order: no memory changes hands by it.
    used: AtomicUsize,
    /// Where a region starts of which something was cut off, that the source takes back whole or lets grow; or 0.
    cut_start: AtomicUsize,
    /// How many bytes that is.
    cut_size: AtomicUsize,
    /// Whether something was cut off another region, and forgotten: that must not grow, and may be any.
    is_forgotten: AtomicBool,
}

impl<S: PageSource> Limited<S> {
    /// Whether committed bytes count. A region that goes back does not say how many of its bytes are committed: they must have been decommitted.
    const COUNTS_COMMITTED: bool = S::COMMITS && (S::DECOMMITS || !S::RELEASES);

    /// `source`, but no more than `limit` bytes of it.
    pub const fn new(source: S, limit: usize) -> Self {
        let [used, cut_start, cut_size] = [const { AtomicUsize::new(0) }; 3];
        Limited { source, limit, used, cut_start, cut_size, is_forgotten: AtomicBool::new(false) }
    }

    /// How many bytes are out.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The source inside.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The first `size` bytes of a region that is longer. `None` if the rest would be forgotten: it has to go back with them, or they grow into it, and
    /// it is that way with another region already.
    fn cut(&self, region: Region, size: usize) -> Option<Region> {
        if S::RELEASES || S::GROWS {
            let start = region.start.addr().get();
            self.cut_start.compare_exchange(0, start, Ordering::Acquire, Ordering::Relaxed).ok()?;
            self.cut_size.store(region.size - size, Ordering::Relaxed);
        }
        Some(Region { size, ..region })
    }

    /// How many bytes were cut off this region.
    fn cut_from(&self, region: Region) -> usize {
        // Whoever has the region came by it after `cut`.
        let is_cut = self.cut_start.load(Ordering::Relaxed) == region.start.addr().get();
        if is_cut { self.cut_size.load(Ordering::Relaxed) } else { 0 }
    }

    /// Notes that nothing is cut off any more where something was. Release pairs with `cut`.
    fn forget_cut(&self) {
        self.cut_start.store(0, Ordering::Release);
    }

    /// Takes `size` bytes from what is left, if that is enough.
    fn charge(&self, size: usize) -> bool {
        self.charge_up_to(size, size).is_some()
    }

    /// Takes `most` bytes from what is left, or less, but `least`; returns how many. Whole OS pages, so that what is cut off begins with one.
    fn charge_up_to(&self, least: usize, most: usize) -> Option<usize> {
        let most = most.checked_next_multiple_of(S::OS_PAGE_SIZE)?;
        let left = |used| self.limit.saturating_sub(used) / S::OS_PAGE_SIZE * S::OS_PAGE_SIZE;
        let charge = |used| Some(most.min(left(used))).filter(|charge| *charge >= least);
        let used = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used + charge(used)?)).ok()?;
        charge(used)
    }

    fn refund(&self, size: usize) {
        self.used.fetch_sub(size, Ordering::Relaxed);
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
    const REMAPS: bool = S::REMAPS;
    const OS_PAGE_SIZE: usize = S::OS_PAGE_SIZE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if Self::COUNTS_COMMITTED {
            // Tables are committed in proportion to the region, so one much bigger than the limit would eat it up.
            let most = self.limit.saturating_mul(4).max(request.min_size).checked_next_multiple_of(S::OS_PAGE_SIZE)?;
            let region = self.source.reserve(RegionRequest { preferred_size: request.preferred_size.min(most), ..request })?;
            // A second one that is too big is of no use anyway.
            return if region.size > most { self.cut(region, most).or(Some(region)) } else { Some(region) };
        }
        let charged = self.charge_up_to(request.min_size, request.preferred_size)?;
        let Some(region) = self.source.reserve(RegionRequest { preferred_size: charged, ..request }) else {
            self.refund(charged);
            return None;
        };
        // The source may give more than it was asked for, or less.
        let size = charged + self.charge_up_to(0, region.size.saturating_sub(charged)).unwrap_or(0);
        self.refund(size.saturating_sub(region.size));
        if size >= region.size {
            return Some(region);
        }
        let cut = self.cut(region, size);
        if cut.is_none() && !S::RELEASES {
            self.is_forgotten.store(true, Ordering::Relaxed);
            return Some(Region { size, ..region });
        }
        if cut.is_none() {
            self.refund(size);
            // SAFETY: just handed out, and used by nobody.
            unsafe { self.source.release(region) };
        }
        cut
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        if Self::COUNTS_COMMITTED && !self.charge(size) {
            return false;
        }
        // SAFETY: the caller's promise.
        let committed = unsafe { self.source.commit(start, size) };
        if Self::COUNTS_COMMITTED && !committed {
            self.refund(size);
        }
        committed
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise.
        let decommitted = unsafe { self.source.decommit(start, size) };
        if decommitted && Self::COUNTS_COMMITTED {
            self.refund(size);
        }
        decommitted
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's promise. What is discarded stays committed, and counts.
        unsafe { self.source.discard(start, size) }
    }

    unsafe fn release(&self, region: Region) {
        if !Self::COUNTS_COMMITTED {
            self.refund(region.size);
        }
        let cut = self.cut_from(region);
        if cut > 0 {
            self.forget_cut();
        }
        // SAFETY: the caller's promise, for the region as it came.
        unsafe { self.source.release(Region { size: region.size + cut, ..region }) }
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        let cut = self.cut_from(region);
        // Whoever has the region that this is about came by it after it was noted.
        if cut == 0 && self.is_forgotten.load(Ordering::Relaxed) {
            return 0;
        }
        // What was cut off comes first. It has to be enough: the source knows the region with it.
        let available = if cut > 0 { preferred_size.next_multiple_of(S::OS_PAGE_SIZE).min(cut) } else { preferred_size };
        if available < min_size {
            return 0;
        }
        let charged = if Self::COUNTS_COMMITTED { Some(available) } else { self.charge_up_to(min_size, available) };
        let Some(charged) = charged else { return 0 };
        if cut > 0 {
            self.cut_size.store(cut - charged, Ordering::Relaxed);
            if cut == charged {
                self.forget_cut();
            }
            return charged;
        }
        // SAFETY: the caller's promise.
        let added = unsafe { self.source.grow(region, min_size, charged) };
        if !Self::COUNTS_COMMITTED {
            self.refund(charged.saturating_sub(added));
            // A source that gives more than it was asked for exceeds the limit by so much.
            self.used.fetch_add(added.saturating_sub(charged), Ordering::Relaxed);
        }
        added
    }

    unsafe fn remap(&self, region: Region, size: usize) -> Option<Region> {
        let more = size.saturating_sub(region.size);
        // What was cut off would have to move as well.
        if self.cut_from(region) > 0 || !self.charge(more) {
            return None;
        }
        // SAFETY: the caller's promise.
        let remapped = unsafe { self.source.remap(region, size) };
        // All of it is committed, so it counts either way. A source that gives more than it was asked for exceeds the limit by so much.
        let now = remapped.map_or(region.size, |region| region.size);
        self.used.fetch_add(now.wrapping_sub(region.size + more), Ordering::Relaxed);
        remapped
    }

    #[inline(always)]
    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.source.pointer_at(address)
    }

    fn has_few_addresses(&self) -> bool {
        self.source.has_few_addresses()
    }

    fn now_ms(&self) -> u64 {
        self.source.now_ms()
    }
}
