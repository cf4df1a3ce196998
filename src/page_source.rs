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

// SAFETY: a region is a plain description of memory; what may be done with that memory is said where it is given out.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// What a heap asks a source for.
#[derive(Clone, Copy, Debug)]
pub struct RegionRequest {
    /// The least that is of use, in bytes. A source that cannot give so much refuses.
    pub min_size: usize,
    /// What the heap would like, in bytes; at least `min_size`. More or less than this is fine.
    pub preferred_size: usize,
    /// The start that the heap would like: a power of two. It may be ignored.
    pub preferred_align: usize,
}

/// What memory comes from; see the crate's `examples/own_source.rs` for one in a few lines.
///
/// Every method may be called from any context that may use the heap, by several at once, and may refuse at any time:
/// the heap then works on with what it has. Nothing is held during a call: a source may itself allocate from the heap
/// it serves, as long as that can be served without asking the source again, without end.
///
/// The constants state optional abilities; what a source does not state is never called.
///
/// # Safety
///
/// A region handed out is valid for reads and writes (after [`commit`](Self::commit), if [`COMMITS`](Self::COMMITS)),
/// belongs to the heap alone until it is released, and overlaps no other. The constants are true.
pub unsafe trait PageSource: Sync {
    /// Memory reads as zero when it is first handed out (or first committed).
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
    /// [`remap`](Self::remap) can move contents without copying them, from this many bytes on (`usize::MAX`: it cannot).
    const REMAPS_FROM: usize = usize::MAX;
    /// Ranges that are committed, decommitted, discarded or remapped start and end at multiples of this power of two (bytes); so do the regions of
    /// a source that can do more of it than discard.
    const OS_PAGE_SIZE: usize = 1;

    /// Hands out a region, or refuses.
    fn reserve(&self, request: RegionRequest) -> Option<Region>;

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

    /// Moves `size` bytes from `from` to `to` without copying; `from` stays committed, and holds anything after. False means that nothing
    /// happened.
    ///
    /// # Safety
    /// Both ranges lie inside regions of this source, are committed, do not overlap, and belong to the caller.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, size: usize) -> bool {
        let _ = (from, to, size);
        false
    }

    /// A pointer to `address`, which lies in a region of this source, that may reach all of that region.
    ///
    /// Heaps keep addresses and come here when one goes out to the program. The default relies on the heap having exposed
    /// each region's provenance and costs nothing; a source that knows its regions can answer under strict provenance.
    #[inline(always)]
    fn pointer_at(&self, address: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(address)
    }

    /// Milliseconds of some clock that never runs backwards, for deciding when free memory has been idle long enough to be
    /// given back. A source without a clock answers 0, and only `purge` and `purge_aged` give memory back.
    fn now_ms(&self) -> u64 {
        0
    }
}
