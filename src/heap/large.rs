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
use crate::pages::region_blocks::{Group, RegionBlock, region_for};
use crate::pages::slices::run_for;
use crate::source::page_source::PageSource;

/// A large block that waits when it is freed has the clock looked at once in so many times: to look takes half as long as such a free.
const CLOCK_EVERY: usize = 16;

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_large(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        no_unwind_in_release(|| self.find_large(layout, zeroed))
    }

    fn find_large(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let (least, wished) = Self::slices_for(layout);
        let (align, before) = (layout.align(), self.knows());
        let ready = || Self::waiting_class(wished).filter(|_| align <= G::SLICE_SIZE).and_then(|class| self.take_waiting(class));
        let (start, is_zero) = match ready() {
            Some(start) => (start, false),
            None => {
                let claim = || self.claim_large(least, wished, align);
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
    fn claim_large(&self, least: usize, wished: usize, align: usize) -> Option<(usize, bool)> {
        let in_arenas = |slice_count| {
            let _hand = self.hand();
            let claimed = self.arenas.iter().find_map(|arena| arena.claim_large(&self.source, slice_count, align))?;
            self.note_used(slice_count as isize);
            Some(claimed)
        };
        let in_arenas = || in_arenas(wished).or_else(|| if wished > least { in_arenas(least) } else { None });
        let needed = (least * G::SLICE_SIZE).saturating_add(align);
        if S::RELEASES && needed > G::OWN_REGION_ABOVE {
            let in_region = || {
                let claimed = self.claim_region(least * G::SLICE_SIZE, align)?;
                self.note_used(least as isize);
                Some(claimed)
            };
            return in_arenas().or_else(|| in_region().or_else(in_arenas));
        }
        self.until_refused(least, align, in_arenas)
    }

    /// A block of a region of its own. `None` as well if an arena was made of the region, because the source gave more than was asked for.
    fn claim_region(&self, size: usize, align: usize) -> Option<(usize, bool)> {
        let align = align.max(S::OS_PAGE_SIZE);
        let region = region_for(&self.source, size, align)?;
        if region.size / 2 > size + align {
            self.arenas.adopt(&self.source, region);
            return None;
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
        Some((opened?, S::FRESH_IS_ZERO))
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
            self.note_used(-((size / G::SLICE_SIZE) as isize));
        } else {
            self.misuses.report(Misuse::Foreign, address);
        }
    }

    /// Resizes a large block: in place, or by moving it, without a copy where the source can. `None` if no large block starts there; inside it
    /// `None` if there is no memory.
    pub(crate) fn reallocate_large(&self, address: usize, layout: Layout, new_layout: Layout) -> Option<Option<NonNull<u8>>> {
        no_unwind_in_release(|| self.resize_or_move_large(address, layout, new_layout))
    }

    fn resize_or_move_large(&self, address: usize, layout: Layout, new_layout: Layout) -> Option<Option<NonNull<u8>>> {
        let old = self.large_size(address)? / G::SLICE_SIZE;
        let (least, wished) = Self::slices_for(new_layout);
        let becomes = |new: &usize| self.resize_large(address, *new);
        let new = if (least..=wished).contains(&old) { Some(old) } else { [wished, least].into_iter().find(becomes) };
        if let Some(new) = new {
            self.note_used(new as isize - old as isize);
            return Some(Some(self.pointer_at(address)));
        }
        let Some(target) = self.allocate_large(new_layout, false) else { return Some(None) };
        let (block, bytes, room) = (self.pointer_at(address), old.min(least) * G::SLICE_SIZE, least * G::SLICE_SIZE);
        // SAFETY: two blocks of this heap that this context owns, whole OS pages; or bytes that both have.
        unsafe {
            if bytes < S::REMAPS_FROM || !self.source.remap(block, target, bytes, room) {
                target.copy_from_nonoverlapping(block, layout.size().min(new_layout.size()));
            }
        }
        self.deallocate_large(address);
        Some(Some(target))
    }

    fn resize_large(&self, address: usize, slice_count: usize) -> bool {
        if let Some(arena) = self.arenas.of(address) {
            let _hand = self.hand();
            return arena.page_of(address).is_some_and(|page| arena.resize_large(&self.source, page, slice_count));
        }
        let block = self.region_blocks.find(address);
        block.is_some_and(|block| block.resize(&self.source, address, slice_count * G::SLICE_SIZE))
    }

    /// How many bytes the large block has that starts at `address`, if there is one.
    pub(crate) fn large_size(&self, address: usize) -> Option<usize> {
        if let Some(page) = self.page_of(address) {
            return (page.is_large() && page.start() == address).then(|| page.slice_count() * G::SLICE_SIZE);
        }
        if S::RELEASES { self.region_blocks.find(address).map(RegionBlock::size) } else { None }
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
