//! Hostile page sources: everything that the contract of [`PageSource`] allows and no port would do on purpose.
//!
//! [`TestSource`] owns its memory, gives it out in regions of odd starts and lengths, states the abilities that its parameter
//! names, checks every call against the contract, fills what a heap may not count on with garbage, notices writes to what the
//! heap may not touch, and refuses calls on demand. [`AddressesOnly`] is a region that cannot be touched at all.

use alloc::boxed::Box;
use core::ptr::NonNull;

use coreheap::port::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use coreheap::{PageSource, Region, RegionRequest};

use crate::area::Area;
use crate::refusals::{Call, Refusals};

/// Ability: fresh memory is zero.
pub const FRESH_IS_ZERO: u32 = 1;
/// Ability: memory must be committed.
pub const COMMITS: u32 = 2;
/// Ability: memory can be decommitted.
pub const DECOMMITS: u32 = 4;
/// Ability: decommitted memory comes back zero.
pub const DECOMMITTED_IS_ZERO: u32 = 8;
/// Ability: regions can be released.
pub const RELEASES: u32 = 16;
/// Ability: regions can grow in place.
pub const GROWS: u32 = 32;
/// Ability: a region can be given another size, and move.
pub const REMAPS: u32 = 64;
/// Not an ability but a demand: ranges must consist of OS pages of 4096 bytes, not of bytes.
pub const OS_PAGES: u32 = 128;
/// Ability: contents of committed memory can be given up.
pub const DISCARDS: u32 = 256;

/// A page source over memory of its own, with abilities that are the sum of the constants of this module.
pub struct TestSource<const ABILITIES: u32> {
    areas: Box<[Area]>,
    /// How many bytes of an area that can grow are given at first.
    first_size: usize,
    refusals: Refusals,
    discarded: AtomicUsize,
    clock_ms: AtomicUsize,
    /// Called in the middle of each call, with `context`.
    hook: AtomicPtr<Hook>,
    in_hook: AtomicBool,
}

/// What a source does in the middle of each call; see [`TestSource::call_inside`].
struct Hook {
    work: fn(*const ()),
    context: *const (),
}

impl<const ABILITIES: u32> TestSource<ABILITIES> {
    /// The unit of commits: an OS page, or a byte.
    pub const UNIT: usize = if Self::has(OS_PAGES) { 4096 } else { 1 };

    /// A source of one region for each of `sizes`, given out in this order (whichever is the first that is big enough). Starts
    /// and lengths are odd, unless [`OS_PAGES`] forbids it.
    pub fn new(sizes: &[usize]) -> Self {
        let skew = |index| if Self::UNIT == 1 { 2 * index + 1 } else { 0 };
        let area = |(index, size): (usize, &usize)| Area::new(*size, skew(index), Self::UNIT, Self::has(COMMITS));
        TestSource {
            areas: sizes.iter().enumerate().map(area).collect(),
            first_size: 0,
            refusals: Refusals::default(),
            discarded: AtomicUsize::new(0),
            clock_ms: AtomicUsize::new(0),
            hook: AtomicPtr::new(core::ptr::null_mut()),
            in_hook: AtomicBool::new(false),
        }
    }

    /// Gives only so many bytes of a region at first (more if the heap must have more), the rest when it is grown.
    pub fn giving_at_first(mut self, first_size: usize) -> Self {
        self.first_size = first_size;
        self
    }

    /// Which calls came and which are refused.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Moves the clock.
    pub fn advance_ms(&self, ms: usize) {
        self.clock_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// From now on calls `work(context)` in the middle of each call, but not within such a call of `work`.
    pub fn call_inside(&self, work: fn(*const ()), context: *const ()) {
        let hook = Box::into_raw(Box::new(Hook { work, context }));
        let old = self.hook.swap(hook, Ordering::AcqRel);
        assert!(old.is_null(), "one hook at a time");
    }

    /// Whether all of these bytes are in a region that is given out, and committed where that is needed.
    pub fn contains(&self, start: usize, size: usize) -> bool {
        self.areas.iter().any(|area| area.is_given(start, size) && (!Self::has(COMMITS) || area.is_committed(start, size)))
    }

    /// How many regions are given out.
    pub fn regions_out(&self) -> usize {
        self.areas.iter().filter(|area| area.given().is_some()).count()
    }

    /// How many bytes are given out.
    pub fn bytes_out(&self) -> usize {
        self.areas.iter().filter_map(Area::given).map(|region| region.size).sum()
    }

    /// How many bytes were discarded in all.
    pub fn bytes_discarded(&self) -> usize {
        self.discarded.load(Ordering::Relaxed)
    }

    /// How many bytes are committed.
    pub fn bytes_committed(&self) -> usize {
        self.areas.iter().map(Area::committed_bytes).sum()
    }

    const fn has(ability: u32) -> bool {
        ABILITIES & ability != 0
    }

    /// What memory is filled with before the heap gets it.
    const FRESH: u8 = if Self::has(FRESH_IS_ZERO) { 0 } else { DIRTY };

    /// What is in memory that was decommitted when it comes back.
    const RECOMMITTED: u8 = if Self::has(DECOMMITTED_IS_ZERO) { 0 } else { DIRTY };

    /// Counts the call and runs the hook; whether the call is to be answered.
    fn enter(&self, call: Call) -> bool {
        // SAFETY: `call_inside` made it, and it lives as long as the source.
        if let Some(hook) = unsafe { self.hook.load(Ordering::Acquire).as_ref() }
            && !self.in_hook.swap(true, Ordering::AcqRel)
        {
            (hook.work)(hook.context);
            self.in_hook.store(false, Ordering::Release);
        }
        self.refusals.admit(call)
    }

    fn area_of(&self, start: NonNull<u8>, size: usize) -> &Area {
        let found = self.areas.iter().find(|area| area.is_given(start.addr().get(), size));
        found.unwrap_or_else(|| panic!("{size} bytes at {start:?} do not lie in a region that is given out"))
    }

    fn check_range(&self, start: NonNull<u8>, size: usize) {
        assert!(size > 0, "a call for no bytes at all");
        assert_eq!((start.addr().get() % Self::UNIT, size % Self::UNIT), (0, 0), "not whole OS pages: {size} at {start:?}");
    }
}

/// What memory is filled with that the heap must not take for zero.
const DIRTY: u8 = 0xa5;

// SAFETY: regions are disjoint areas of owned memory, given out once until released.
unsafe impl<const ABILITIES: u32> PageSource for TestSource<ABILITIES> {
    const FRESH_IS_ZERO: bool = Self::has(FRESH_IS_ZERO);
    const COMMITS: bool = Self::has(COMMITS);
    const DECOMMITS: bool = Self::has(DECOMMITS);
    const DECOMMITTED_IS_ZERO: bool = Self::has(DECOMMITTED_IS_ZERO);
    const DISCARDS: bool = Self::has(DISCARDS);
    const RELEASES: bool = Self::has(RELEASES);
    const GROWS: bool = Self::has(GROWS);
    const REMAPS: bool = Self::has(REMAPS);
    const OS_PAGE_SIZE: usize = Self::UNIT;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        assert!(request.min_size > 0 && request.min_size <= request.preferred_size && request.preferred_align.is_power_of_two());
        if !self.enter(Call::Reserve) {
            return None;
        }
        let first_size = if Self::has(GROWS) && self.first_size > 0 { self.first_size } else { usize::MAX };
        let fresh = (!Self::has(COMMITS)).then_some(Self::FRESH);
        let region = self.areas.iter().find_map(|area| area.give(request.min_size, first_size, fresh))?;
        self.refusals.grant(Call::Reserve);
        Some(region)
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        assert!(Self::has(COMMITS), "commit is not an ability of this source");
        self.check_range(start, size);
        if !self.enter(Call::Commit) {
            return false;
        }
        self.area_of(start, size).commit(start, size, Self::FRESH, Self::RECOMMITTED);
        self.refusals.grant(Call::Commit);
        true
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        assert!(Self::has(DECOMMITS), "decommit is not an ability of this source");
        self.check_range(start, size);
        if !self.enter(Call::Decommit) {
            return false;
        }
        let area = self.area_of(start, size);
        if Self::has(COMMITS) {
            area.decommit(start, size);
        } else {
            area.fill(start, size, Self::RECOMMITTED);
        }
        self.refusals.grant(Call::Decommit);
        true
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        assert!(Self::has(DISCARDS), "discard is not an ability of this source");
        self.check_range(start, size);
        assert!(self.contains(start.addr().get(), size), "{size} bytes at {start:?} are not (all) usable");
        if !self.enter(Call::Discard) {
            return false;
        }
        self.area_of(start, size).fill(start, size, DIRTY);
        self.discarded.fetch_add(size, Ordering::Relaxed);
        self.refusals.grant(Call::Discard);
        true
    }

    unsafe fn release(&self, region: Region) {
        assert!(Self::has(RELEASES), "release is not an ability of this source");
        self.enter(Call::Release);
        self.area_of(region.start, region.size).take_back(region);
        self.refusals.grant(Call::Release);
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        assert!(Self::has(GROWS), "grow is not an ability of this source");
        assert!(min_size > 0 && min_size <= preferred_size);
        if !self.enter(Call::Grow) {
            return 0;
        }
        let fresh = (!Self::has(COMMITS)).then_some(Self::FRESH);
        let added = self.area_of(region.start, region.size).grow(region, min_size, preferred_size, fresh);
        if added > 0 {
            self.refusals.grant(Call::Grow);
        }
        added
    }

    unsafe fn remap(&self, region: Region, size: usize) -> Option<Region> {
        assert!(Self::has(REMAPS), "remap is not an ability of this source");
        self.check_range(region.start, size);
        assert!(self.contains(region.start.addr().get(), region.size), "{region:?} is not (all) usable");
        if !self.enter(Call::Remap) {
            return None;
        }
        let old = self.area_of(region.start, region.size);
        let new = self.areas.iter().find_map(|area| area.give(size, size, (!Self::has(COMMITS)).then_some(DIRTY)))?;
        if Self::has(COMMITS) {
            self.area_of(new.start, new.size).commit(new.start, new.size, DIRTY, DIRTY);
        }
        // SAFETY: both regions are this source's, usable, apart, and the caller's.
        unsafe { region.start.copy_to_nonoverlapping(new.start, region.size.min(size)) };
        if Self::has(COMMITS) {
            old.decommit(region.start, region.size);
        }
        old.take_back(region);
        self.refusals.grant(Call::Remap);
        Some(new)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let area = self.areas.iter().find(|area| area.spans(address));
        area.map_or(core::ptr::null_mut(), |area| area.pointer_at(address))
    }

    fn now_ms(&self) -> u64 {
        self.clock_ms.load(Ordering::Relaxed) as u64
    }
}

impl<const ABILITIES: u32> Drop for TestSource<ABILITIES> {
    fn drop(&mut self) {
        let hook = self.hook.load(Ordering::Acquire);
        if !hook.is_null() {
            // SAFETY: `call_inside` made it from a box.
            drop(unsafe { Box::from_raw(hook) });
        }
        #[cfg(feature = "std")]
        if std::thread::panicking() {
            return;
        }
        if Self::has(RELEASES) {
            assert_eq!(self.regions_out(), 0, "regions were not released");
        }
    }
}

/// A region that may be anywhere, even at the end of the address space, because nobody can touch it: it must be committed, and
/// every commit is refused. What a heap does with its addresses shows all the same.
pub struct AddressesOnly {
    region: Region,
    refusals: Refusals,
    out: AtomicBool,
}

impl AddressesOnly {
    /// The last `size` bytes of the address space.
    pub fn at_the_end(size: usize) -> Self {
        let start = NonNull::new(core::ptr::without_provenance_mut(usize::MAX - (size - 1))).expect("not all of it");
        AddressesOnly { region: Region { start, size }, refusals: Refusals::default(), out: AtomicBool::new(false) }
    }

    /// What was called how often.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }
}

// SAFETY: the region becomes usable by a commit, and there is none.
unsafe impl PageSource for AddressesOnly {
    const COMMITS: bool = true;
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.refusals.admit(Call::Reserve);
        (self.region.size >= request.min_size && !self.out.swap(true, Ordering::AcqRel)).then_some(self.region)
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.refusals.admit(Call::Commit);
        let inside = start.addr() >= self.region.start.addr() && size - 1 <= usize::MAX - start.addr().get();
        assert!(inside, "{size} bytes at {start:?} are not inside the region");
        false
    }

    unsafe fn release(&self, region: Region) {
        self.refusals.admit(Call::Release);
        assert_eq!((region.start, region.size), (self.region.start, self.region.size), "released what was not given");
        assert!(self.out.swap(false, Ordering::AcqRel));
    }
}
