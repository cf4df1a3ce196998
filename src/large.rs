//! Large blocks: requests beyond the biggest size class, served by runs of slices.
//!
//! *Role*: the part of [`Heap`] that is not rounded up to size classes, that grows and shrinks in place, and that moves memory without
//! copying it where the page source can.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::core_local::CoreLocal;
use crate::geometry::Geometry;
use crate::heap::Heap;
use crate::misuse::Misuse;
use crate::page_source::PageSource;
use crate::slices::run_for;

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_large(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let slice_count = Self::slices_for(layout);
        let (start, is_zero) = self.until_exhausted(slice_count, layout.align(), |_| {
            self.arenas.iter().find_map(|arena| arena.claim_large(&self.source, slice_count, layout.align()))
        })?;
        self.note_used(slice_count as isize);
        let pointer = self.pointer_at(start);
        if zeroed && !is_zero {
            // SAFETY: the block is this context's, and at least so long.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        Some(pointer)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn deallocate_large(&self, address: usize) {
        let found = self.arenas.of(address).and_then(|arena| Some((arena, arena.page_of(address)?)));
        let Some((arena, page)) = found else { return self.misuses.report(Misuse::Foreign, address) };
        let slice_count = page.slice_count();
        if !arena.return_large(page, address) {
            let misuse = if page.class().is_some() { Misuse::WrongLayout } else { Misuse::Foreign };
            return self.misuses.report(misuse, address);
        }
        self.note_used(-(slice_count as isize));
        self.purge_if_due();
    }

    /// Resizes a large block: in place, or by moving its memory without a copy.
    pub(crate) fn reallocate_large(&self, address: usize, layout: Layout, new_layout: Layout) -> Option<NonNull<u8>> {
        let arena = self.arenas.of(address)?;
        let page = arena.page_of(address).filter(|page| page.is_large() && page.start() == address)?;
        let (old, new) = (page.slice_count(), Self::slices_for(new_layout));
        if new == old || arena.resize_large(&self.source, page, new) {
            self.note_used(new as isize - old as isize);
            return Some(self.pointer_at(address));
        }
        if layout.size() < S::REMAPS_FROM {
            return None;
        }
        let target = self.allocate_large(new_layout, false)?;
        let bytes = old.min(new) * G::SLICE_SIZE;
        // SAFETY: two blocks of this heap that this context owns, whole OS pages.
        if unsafe { self.source.remap(self.pointer_at(address), target, bytes) } {
            self.deallocate_large(address);
            return Some(target);
        }
        self.deallocate_large(target.addr().get());
        None
    }

    /// How many slices a large block of this layout has. A small one that is aligned beyond every class is large as well.
    fn slices_for(layout: Layout) -> usize {
        run_for::<S, G>(layout.size().max(1))
    }
}
