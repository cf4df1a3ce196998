//! Large blocks that have a region each: the longest ones.
//!
//! *Role*: [`large`](crate::heap::large) has them made if the source takes regions back. A region needs no tables, which would grow with it, goes back with
//! its block, and grows with it if the source can [remap](PageSource::remap) it.
//!
//! *Invariants*
//! - O1: a block's entry holds its address. Whoever changes that to [`BUSY`] owns the block and its region, and alone touches the other fields
//!   until the address is back, or the entry unused.
//! - O2: groups of entries stay until the whole heap goes.

use core::ptr::{NonNull, null_mut};

use crate::base::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, const_but_in_models};
use crate::source::page_source::{PageSource, Region, RegionRequest};

/// What an entry holds in place of an address: nothing, or that somebody works on it. No block lies there.
const UNUSED: usize = 0;
const BUSY: usize = 1;

/// Fewer than 512 bytes of them; one in models.
const GROUP: usize = if cfg!(loom) { 1 } else { 15 };

/// The large blocks of a heap that have a region each.
pub struct RegionBlocks {
    groups: AtomicPtr<Group>,
    /// Whether the source gives regions that are much too long for one block. Only a hint where to ask first.
    are_too_long: AtomicBool,
}

/// Entries that are made together.
pub struct Group {
    next: AtomicPtr<Group>,
    blocks: [RegionBlock; GROUP],
}

/// An entry: a block and its region.
pub struct RegionBlock {
    start: AtomicUsize,
    size: AtomicUsize,
    region_start: AtomicPtr<u8>,
    region_size: AtomicUsize,
}

impl RegionBlocks {
    const_but_in_models! {
        /// No blocks.
        pub fn new() -> Self {
            RegionBlocks { groups: AtomicPtr::new(null_mut()), are_too_long: AtomicBool::new(false) }
        }
    }

    /// Whether the source gave a region that was much too long for one block.
    pub fn are_too_long(&self) -> bool {
        self.are_too_long.load(Ordering::Relaxed)
    }

    /// Notes that it did.
    pub fn note_too_long(&self) {
        self.are_too_long.store(true, Ordering::Relaxed);
    }

    /// The block that starts at this address.
    pub fn find(&self, address: usize) -> Option<&RegionBlock> {
        self.blocks().find(|block| block.start() == Some(address))
    }

    /// All blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &RegionBlock> {
        self.entries().filter(|block| block.start().is_some())
    }

    /// An entry that nothing uses; the caller owns it.
    pub fn claim_unused(&self) -> Option<&RegionBlock> {
        self.entries().find(|block| block.claim(UNUSED))
    }

    /// Adds entries.
    ///
    /// # Safety
    /// `group` is zeroed memory that is the caller's and stays.
    pub unsafe fn add(&self, group: NonNull<Group>) {
        let mut newest = self.groups.load(Ordering::Relaxed);
        loop {
            // SAFETY: all fields are atomics, valid when zero; nobody else has the address yet.
            unsafe { group.as_ref() }.next.store(newest, Ordering::Relaxed);
            match self.groups.compare_exchange_weak(newest, group.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => newest = now,
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = &RegionBlock> {
        // SAFETY: O2. The newest one shows all others: each was added by a swap of what the one before was added by.
        let follow = |link: &AtomicPtr<Group>, order| unsafe { link.load(order).as_ref() };
        let newest = follow(&self.groups, Ordering::Acquire);
        core::iter::successors(newest, move |group| follow(&group.next, Ordering::Relaxed)).flat_map(|group| &group.blocks)
    }
}

/// Asks for a region for a block of `size` bytes at a multiple of `align`, which is at least an OS page, and best for `room` bytes more.
pub fn region_for<S: PageSource>(source: &S, size: usize, align: usize, room: usize) -> Option<Region> {
    let fits = |region: &Region| {
        let before = region.start.addr().get().wrapping_neg() & (align - 1);
        // Without the last byte of the address space, so that no pointer wraps around.
        let usable = region.size.min(usize::MAX - region.start.addr().get());
        before.checked_add(size).is_some_and(|needed| needed <= usable)
    };
    let reserve = |size: usize| {
        let preferred_size = size.saturating_add(room).min(isize::MAX as usize);
        let request = RegionRequest { min_size: size, preferred_size, preferred_align: align, is_for_one_block: true };
        if size <= isize::MAX as usize { source.reserve(request) } else { None }
    };
    let region = reserve(size)?;
    if fits(&region) {
        return Some(region);
    }
    // The alignment was a wish: once more, with room for it.
    // SAFETY: just handed out, and used by nobody.
    unsafe { source.release(region) };
    let region = reserve(size.checked_add(align)?)?;
    if fits(&region) {
        return Some(region);
    }
    // SAFETY: as above.
    unsafe { source.release(region) };
    None
}

impl RegionBlock {
    /// Where the block starts, if there is one. Acquire shows its other fields.
    pub fn start(&self) -> Option<usize> {
        Some(self.start.load(Ordering::Acquire)).filter(|start| *start > BUSY)
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Its region.
    pub fn region(&self) -> Option<Region> {
        let start = NonNull::new(self.region_start.load(Ordering::Relaxed))?;
        Some(Region { start, size: self.region_size.load(Ordering::Relaxed) })
    }

    /// Makes a block of a region that [`region_for`] gave for it; the caller owns the entry. `None` if the source refuses to commit it: then
    /// the region is the caller's still.
    pub fn open<S: PageSource>(&self, source: &S, region: Region, size: usize, align: usize) -> Option<usize> {
        let before = region.start.addr().get().wrapping_neg() & (align - 1);
        // SAFETY: inside the region, whole OS pages.
        let start = unsafe { region.start.add(before) };
        // SAFETY: as above; nobody has them.
        if S::COMMITS && !unsafe { source.commit(start, size) } {
            return None;
        }
        self.size.store(size, Ordering::Relaxed);
        self.set_region(region);
        // Publishes the fields above (O1).
        self.start.store(start.addr().get(), Ordering::Release);
        Some(start.addr().get())
    }

    /// Ends the claim of an entry that was not opened.
    pub fn close(&self) {
        // For who claims it next.
        self.start.store(UNUSED, Ordering::Release);
    }

    /// Takes the block back that starts at `start`, and releases its region; false if it was taken back before.
    pub fn free<S: PageSource>(&self, source: &S, start: usize) -> bool {
        let Some(region) = self.claim(start).then(|| self.region()).flatten() else { return false };
        // SAFETY: this context's block and region (O1), used by nobody.
        unsafe {
            if S::COMMITS && S::DECOMMITS {
                source.decommit(self.pointer(region, start), self.size());
            }
            source.release(region);
        }
        self.close();
        true
    }

    /// Gives the block that starts at `start` another size, and where the source moves its region another place: at a multiple of `align`. Returns where it
    /// starts then; `None` if there is no room, or the source refuses.
    pub fn resize<S: PageSource>(&self, source: &S, start: usize, new: usize, align: usize) -> Option<usize> {
        let region = self.claim(start).then(|| self.region()).flatten()?;
        // The source knows nothing of more alignment.
        let moved = if align <= S::OS_PAGE_SIZE { self.remap(source, region, new) } else { None };
        let resized = moved.or_else(|| self.resize_in_place(source, region, start, new).then_some(start));
        if resized.is_some() {
            self.size.store(new, Ordering::Relaxed);
        }
        // Publishes the fields once more.
        self.start.store(resized.unwrap_or(start), Ordering::Release);
        resized
    }

    /// Has the source give this context's region another size, if it is the block and nothing else.
    fn remap<S: PageSource>(&self, source: &S, region: Region, new: usize) -> Option<usize> {
        if !S::REMAPS || region.size != self.size() || new > isize::MAX as usize {
            return None;
        }
        // SAFETY: this context's region (O1), all of it committed as the block is.
        let region = unsafe { source.remap(region, new) }?;
        self.set_region(region);
        debug_assert!(region.start.addr().get().is_multiple_of(S::OS_PAGE_SIZE) && region.size >= new);
        Some(region.start.addr().get())
    }

    fn resize_in_place<S: PageSource>(&self, source: &S, region: Region, start: usize, new: usize) -> bool {
        let old = self.size();
        // SAFETY: the end of this context's block, or what lies behind it in its region (O1); whole OS pages.
        unsafe {
            if new > old {
                let usable = region.size.min(usize::MAX - region.start.addr().get());
                new <= usable - (start - region.start.addr().get())
                    && (!S::COMMITS || source.commit(self.pointer(region, start + old), new - old))
            } else {
                new == old || !S::DECOMMITS || source.decommit(self.pointer(region, start + new), old - new)
            }
        }
    }

    fn set_region(&self, region: Region) {
        region.start.as_ptr().expose_provenance();
        self.region_start.store(region.start.as_ptr(), Ordering::Relaxed);
        self.region_size.store(region.size, Ordering::Relaxed);
    }

    fn pointer(&self, region: Region, address: usize) -> NonNull<u8> {
        // SAFETY: inside the region.
        unsafe { region.start.add(address - region.start.addr().get()) }
    }

    fn claim(&self, from: usize) -> bool {
        // Acquire: whoever had it is done with it.
        self.start.compare_exchange(from, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Checks O1, while nobody uses the heap.
    pub fn assert_valid(&self) {
        let Some(start) = self.start() else { return };
        let region = self.region().expect("O1: a block has a region");
        let before = start.checked_sub(region.start.addr().get()).expect("O1: in its region");
        assert!(self.size() > 0 && self.size() <= region.size - before, "O1: a block is no longer than its region");
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
