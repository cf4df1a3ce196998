//! Large blocks: requests beyond the biggest size class, served by runs of slices; the biggest by regions of their own.
//!
//! *Role*: the part of [`Heap`] that is not rounded up to size classes, that grows and shrinks in place, and that moves memory without
//! copying it where the page source can.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::misuse::{Misuse, no_unwind_in_release};
use crate::cores::core_local::CoreLocal;
use crate::heap::Heap;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;
use crate::pages::region_blocks::{Group, RegionBlock, region_for};
use crate::pages::slices::run_for;
use crate::source::page_source::PageSource;

/// A large block that waits when it is freed has the clock looked at once in so many times: to look takes half as long as such a free.
const CLOCK_EVERY: usize = 16;

/// Why a block has no region of its own.
enum NoRegion {
    /// The source gave none, or one so long that an arena was made of it.
    NotGiven,
    /// The source would not commit it.
    NotCommitted,
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// A block of so many slices, which had a region of its own, is better copied to an arena: so regions stay few.
    const SHORT: usize = G::OWN_REGION_ABOVE / G::SLICE_SIZE / 8;

    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_large(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        no_unwind_in_release(|| self.find_large(layout, zeroed, 0))
    }

    /// A large block, with room for so many bytes more in its region if it has one of its own.
    fn find_large(&self, layout: Layout, zeroed: bool, room: usize) -> Option<NonNull<u8>> {
        let (least, wished) = Self::slices_for(layout);
        let (align, before) = (layout.align(), self.knows());
        let ready = || Self::waiting_class(wished).filter(|_| align <= G::SLICE_SIZE).and_then(|class| self.take_waiting(class));
        let (start, is_zero) = match ready() {
            Some(start) => (start, false),
            None => {
                let claim = || self.claim_large(least, wished, align, room);
                let Some(found) = claim().or_else(|| self.search_everywhere(least, before, claim)) else {
                    event!("refused: {=usize} slices", least);
                    return None;
                };
                found
            }
        };
        let pointer = self.pointer_at(start);
        if zeroed && !is_zero {
            // SAFETY: the block is this context's, and at least so long.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        Some(pointer)
    }

    /// A run of slices, `wished` or at least `least`, or a region of its own; with whether its memory is known to be zero.
    fn claim_large(&self, least: usize, wished: usize, align: usize, room: usize) -> Option<(usize, bool)> {
        let in_arenas = |slice_count| {
            let _hand = self.hand();
            let claimed = self.arenas.iter().find_map(|arena| arena.claim_large(&self.source, slice_count, align))?;
            self.note_used(slice_count as isize);
            Some(claimed)
        };
        let in_arenas = || in_arenas(wished).or_else(|| if wished > least { in_arenas(least) } else { None });
        if self.has_region(least, align) {
            match self.claim_region(least, align, room) {
                Ok(claimed) => return Some(claimed),
                // An arena of that size, with tables of its own, would be of no use either.
                Err(NoRegion::NotCommitted) => return in_arenas(),
                Err(NoRegion::NotGiven) => {}
            }
        }
        self.until_refused(least, align, in_arenas)
    }

    /// Whether a block of so many slices has a region of its own, if the source gives one.
    fn has_region(&self, slice_count: usize, align: usize) -> bool {
        let long = (slice_count * G::SLICE_SIZE).saturating_add(align);
        let is_long = || long > G::OWN_REGION_ABOVE || long > G::OWN_REGION_ABOVE / 32 && self.source.has_few_addresses();
        S::RELEASES && is_long() && !self.region_blocks.are_too_long()
    }

    /// A block of a region of its own.
    fn claim_region(&self, slice_count: usize, align: usize, room: usize) -> Result<(usize, bool), NoRegion> {
        let (size, align) = (slice_count * G::SLICE_SIZE, align.max(S::OS_PAGE_SIZE).max(G::MIN_ALIGN));
        let region = region_for(&self.source, size, align, room).ok_or(NoRegion::NotGiven)?;
        if region.size / 2 > size + align {
            self.region_blocks.note_too_long();
            self.arenas.adopt(&self.source, region);
            return Err(NoRegion::NotGiven);
        }
        let opened = self.unused_region_block().and_then(|block| {
            let opened = block.open(&self.source, region, size, align);
            if opened.is_none() {
                self.arenas.note_refusal();
                block.close();
            }
            opened
        });
        match opened {
            Some(_) => event!("{=usize} bytes from the page source", region.size),
            // SAFETY: just handed out, and used by nobody.
            None => unsafe { self.source.release(region) },
        }
        let start = opened.ok_or(NoRegion::NotCommitted)?;
        self.note_apart(slice_count as isize);
        Ok((start, S::FRESH_IS_ZERO))
    }

    fn unused_region_block(&self) -> Option<&RegionBlock> {
        loop {
            if let Some(block) = self.region_blocks.claim_unused() {
                return Some(block);
            }
            let slice_count = run_for::<S, G>(size_of::<Group>());
            let claim = || {
                let _hand = self.hand();
                self.arenas.iter().find_map(|arena| arena.claim_metadata::<S, Group>(&self.source))
            };
            let group = self.until_refused(slice_count, align_of::<Group>(), claim)?;
            // SAFETY: zeroed memory of this context, and metadata stays (R1).
            unsafe { self.region_blocks.add(group) };
            self.note_used(slice_count as isize);
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn deallocate_large(&self, address: usize) {
        no_unwind_in_release(|| self.return_large(address));
    }

    fn return_large(&self, address: usize) {
        let found = self.arenas.of(address).and_then(|arena| Some((arena, arena.page_of(address)?)));
        let Some((arena, page)) = found else { return self.deallocate_region(address) };
        let slice_count = page.slice_count();
        if !page.claim_large(address) {
            let misuse = match page.class() {
                Some(_) => Misuse::WrongLayout,
                None if page.is_waiting() && page.start() == address => Misuse::DoubleFree,
                None => Misuse::Foreign,
            };
            return self.misuses.report(misuse, address);
        }
        let is_time = page.claims().is_multiple_of(CLOCK_EVERY);
        if !self.keep_waiting(page) {
            arena.return_large(&self.source, page);
            self.note_used(-(slice_count as isize));
        } else if !is_time {
            return;
        }
        self.purge_if_due();
    }

    fn deallocate_region(&self, address: usize) {
        let block = if S::RELEASES { self.region_blocks.find(address) } else { None };
        let size = block.map_or(0, |block| block.size());
        if block.is_some_and(|block| block.free(&self.source, address)) {
            self.note_apart(-((size / G::SLICE_SIZE) as isize));
        } else {
            self.misuses.report(Misuse::Foreign, address);
        }
    }

    /// Resizes a large block: in place, with its region where the source can remap that, or by a copy. `None` if no large block starts there; inside it
    /// `None` if there is no memory.
    pub(crate) fn reallocate_large(&self, address: usize, layout: Layout, new_layout: Layout) -> Option<Option<NonNull<u8>>> {
        no_unwind_in_release(|| self.resize_or_move_large(address, layout, new_layout))
    }

    fn resize_or_move_large(&self, address: usize, layout: Layout, new_layout: Layout) -> Option<Option<NonNull<u8>>> {
        let old = self.large_size(address)? / G::SLICE_SIZE;
        let (least, wished) = Self::slices_for(new_layout);
        let align = new_layout.align();
        if Self::large_fits(old * G::SLICE_SIZE, new_layout) {
            return Some(Some(self.pointer_at(address)));
        }
        let resize = |new| self.resize_large(address, old, new, align);
        let resized = || resize(wished).or_else(|| if wished > least { resize(least) } else { None });
        let is_apart = self.arenas.of(address).is_none();
        // Where a region did not grow, the next one has room, so that not each step is a copy. Addresses cost nothing where memory is committed.
        let has_room = S::COMMITS && old < least && (is_apart || !S::REMAPS);
        let room = if has_room { least / 2 * G::SLICE_SIZE } else { 0 };
        // One that outgrows arenas moves to a region, and goes on growing there; little that is left of a long one moves to an arena.
        let moved = if is_apart && least <= Self::SHORT && !self.has_region(least, align) {
            self.find_large(new_layout, false, 0)
        } else if !is_apart && old < least && self.has_region(least, align) {
            self.claim_region(least, align, room).ok().map(|(start, _)| self.pointer_at(start))
        } else {
            None
        };
        let target = if let Some(target) = moved {
            target
        } else if let Some(start) = resized() {
            return Some(Some(self.pointer_at(start)));
        } else if let Some(target) = self.find_large(new_layout, false, room) {
            target
        } else {
            return Some(None);
        };
        // SAFETY: two blocks of this heap that this context owns, each at least so long.
        unsafe { target.copy_from_nonoverlapping(self.pointer_at(address), layout.size().min(new_layout.size())) };
        self.return_large(address);
        Some(Some(target))
    }

    /// Gives a large block of `old` slices another size; returns where it starts then.
    fn resize_large(&self, address: usize, old: usize, new: usize, align: usize) -> Option<usize> {
        let more = new as isize - old as isize;
        if let Some(arena) = self.arenas.of(address) {
            let _hand = self.hand();
            arena.page_of(address).filter(|page| arena.resize_large(&self.source, page, new))?;
            self.note_used(more);
            return Some(address);
        }
        let align = align.max(G::MIN_ALIGN);
        let start = self.region_blocks.find(address)?.resize(&self.source, address, new * G::SLICE_SIZE, align)?;
        self.note_apart(more);
        Some(start)
    }

    /// How many bytes the large block has that starts at `address`, if there is one.
    pub(crate) fn large_size(&self, address: usize) -> Option<usize> {
        self.page_of(address).map_or_else(|| self.region_block_size(address), |page| Self::run_size(page, address))
    }

    /// The same of one that has this header.
    pub(crate) fn run_size(page: &Page<G>, address: usize) -> Option<usize> {
        (page.is_large() && page.start() == address).then(|| page.slice_count() * G::SLICE_SIZE)
    }

    /// The same of one that has a region of its own.
    pub(crate) fn region_block_size(&self, address: usize) -> Option<usize> {
        if S::RELEASES { self.region_blocks.find(address).map(RegionBlock::size) } else { None }
    }

    /// Whether a large block of this layout would be as long as one of `size` bytes is.
    pub(crate) fn large_fits(size: usize, layout: Layout) -> bool {
        let fits = || {
            let (least, wished) = Self::slices_for(layout);
            (least..=wished).contains(&(size / G::SLICE_SIZE))
        };
        // Mostly it takes all of the slices but a part of the last one.
        size.wrapping_sub(layout.size()) < G::SLICE_SIZE || fits()
    }

    /// How many slices a large block of this layout has at least, and where there is room: some that [wait](Self::keep_waiting) for the next request are a
    /// little longer. A small one that is aligned beyond every class is large as well.
    fn slices_for(layout: Layout) -> (usize, usize) {
        let least = run_for::<S, G>(layout.size().max(1));
        (least, Self::waiting_class(least).map_or(least, |class| class.block_size() / G::SLICE_SIZE))
    }
}

#[cfg(test)]
mod tests;
