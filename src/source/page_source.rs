//! Where memory comes from.
//!
//! *Role*: the trait that a port implements. A page source hands out regions and knows nothing of heaps, pages or blocks.
//! Ready sources are in [`sources`](crate::sources).

use core::ptr::NonNull;

/// Contiguous memory that a source gave: any start, any length.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// First byte; valid for reads and writes of `size` bytes (after [`PageSource::commit`], where the source commits).
    pub start: NonNull<u8>,
    /// Length in bytes; the region may end at the very end of the address space.
    pub size: usize,
}

impl Region {
    /// Whether this address lies in it.
    pub(crate) fn holds(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.addr().get()) < self.size
    }
}

// SAFETY: a region is a plain description of memory; what may be done with that memory is said where it is given out.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// What a heap asks a source for.
#[derive(Clone, Copy, Debug)]
pub struct RegionRequest {
    /// The least that may be of use, in bytes. A source that cannot give so much refuses.
    pub min_size: usize,
    /// What the heap would like, in bytes; at least `min_size`, and in proportion to what the heap has already: a source that gives so much is asked
    /// seldom, and regions stay few. More or less than this is fine.
    pub preferred_size: usize,
    /// The start that the heap would like: a power of two. It may be ignored.
    pub preferred_align: usize,
    /// Whether the region is for one block, which the program may write to here and there only; else it is for many, that lie close together.
    pub is_for_one_block: bool,
}

/// Where no region has room for a block wherever it starts, one that may start well is asked for only up to this alignment, in bytes: a block that is
/// aligned to more is a rare find, and the search would take all that the source has.
pub(crate) const ALIGNED_BY_CHANCE: usize = 4096;

/// What memory comes from; see the crate's `examples/own_source.rs` for one in a few lines.
///
/// Every method may be called from any context that may use the heap, by several at once, and may refuse at any time:
/// the heap then works on with what it has. Nothing is held during a call: a source may itself allocate from the heap
/// it serves, whatever heap that is, as long as that can be served without asking the source again, without end. But
/// [`pointer_at`](Self::pointer_at) is called in the middle of the heap's work, and uses no heap.
///
/// The constants state optional abilities; what a source does not state is never called.
///
/// # Safety
///
/// A region handed out has the least size of its request, is valid for reads and writes (after [`commit`](Self::commit), if
/// [`COMMITS`](Self::COMMITS)), belongs to the heap alone until it is released, and overlaps no other. The constants are true.
/// [`pointer_at`](Self::pointer_at) calls no heap, and does not unwind.
pub unsafe trait PageSource: Sync {
    /// Memory of a region reads as zero when the region is handed out (or first committed since), each time.
    const FRESH_IS_ZERO: bool = false;
    /// Memory must be committed before it is used.
    const COMMITS: bool = false;
    /// [`decommit`](Self::decommit) gives memory back while its addresses stay reserved.
    const DECOMMITS: bool = false;
    /// Decommitted memory reads as zero when it is next committed or used.
    const DECOMMITTED_IS_ZERO: bool = false;
    /// [`discard`](Self::discard) does something.
    const DISCARDS: bool = false;
    /// [`release`](Self::release) takes a whole region back.
    const RELEASES: bool = false;
    /// [`grow`](Self::grow) can extend a region in place.
    const GROWS: bool = false;
    /// Regions that touch are one: a pointer into one of them may reach the others.
    const JOINS: bool = false;
    /// [`remap`](Self::remap) can give a whole region another size.
    const REMAPS: bool = false;
    /// Ranges that are committed, decommitted or discarded start and end at multiples of this power of two (bytes); so do the regions of
    /// a source that can do more of it than discard.
    const OS_PAGE_SIZE: usize = 1;

    /// Hands out a region, or refuses.
    fn reserve(&self, request: RegionRequest) -> Option<Region>;

    /// The region that this source begins with, if it has `min_size` bytes or more: from then on always the same.
    /// [`reserve`](Self::reserve) may hand it out as well, where it was there from the beginning. A source that gets its regions later decides once: what
    /// it has answered here it hands out in no other way, and after it has handed a region out it answers none.
    ///
    /// Not asked of a source that [grows](Self::GROWS) or [releases](Self::RELEASES) regions, since a heap may divide it.
    ///
    /// Heaps for any context begin with it: one that interrupts another one's first allocation finds it here, which `reserve` would refuse. A source
    /// that asks another one need not pass it on; then such an interrupt is refused.
    fn first_region(&self, min_size: usize) -> Option<Region> {
        let _ = min_size;
        None
    }

    /// Makes part of a region usable that is not; false refuses.
    ///
    /// # Safety
    /// The range lies inside one region of this source.
    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        let _ = (start, size);
        true
    }

    /// Gives the contents of part of a region up; false means that nothing happened.
    ///
    /// # Safety
    /// The range lies inside one region of this source, and nobody uses its contents.
    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        let _ = (start, size);
        false
    }

    /// Gives the contents of part of a region up that is committed and stays so: it may be used at any time, and then holds anything.
    /// False means that nothing happened.
    ///
    /// # Safety
    /// As for [`decommit`](Self::decommit).
    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        let _ = (start, size);
        false
    }

    /// Takes a whole region back.
    ///
    /// # Safety
    /// The region (as grown) came from this source, and nobody uses it any more.
    unsafe fn release(&self, region: Region) {
        let _ = region;
    }

    /// Extends `region` by at least `min_size` bytes at its end, best `preferred_size`; returns how many were added. 0 refuses.
    ///
    /// # Safety
    /// The region (as grown) came from this source.
    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        let _ = (region, min_size, preferred_size);
        0
    }

    /// Gives `region` another size, `size` bytes or more, at its end or by moving its pages elsewhere, without copying what is in them. Returns where it
    /// is then, at a multiple of [`OS_PAGE_SIZE`](Self::OS_PAGE_SIZE): with the bytes that it had, as far as they fit, and committed, also the bytes that
    /// were added, which hold anything. `None` means that nothing happened.
    ///
    /// # Safety
    /// The region (as it is now) came from this source, all of it is committed, and it belongs to the caller, who uses it where it is then.
    unsafe fn remap(&self, region: Region, size: usize) -> Option<Region> {
        let _ = (region, size);
        None
    }

    /// A pointer to `address`, which lies in a region of this source, that may reach all of that region.
    ///
    /// Heaps keep addresses and come here when one goes out to the program. The default relies on the heap having exposed
    /// each region's provenance and costs nothing; a source that knows its regions can answer under strict provenance.
    #[inline(always)]
    fn pointer_at(&self, address: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(address)
    }

    /// Whether addresses are few, so that a heap should keep no more than it needs. Blocks of a 32th of
    /// [`OWN_REGION_ABOVE`](crate::Geometry::OWN_REGION_ABOVE) and more have a region each then, if this source takes regions back: an arena keeps its region as
    /// long as the heap lives.
    fn has_few_addresses(&self) -> bool {
        false
    }

    /// Milliseconds of some clock that never runs backwards, for deciding when free memory has been idle long enough to be
    /// given back. A source without a clock answers 0, and only `purge` and `purge_aged` give memory back.
    fn now_ms(&self) -> u64 {
        0
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
