//! How long everything is in an arena: tables, regions, pages.
//!
//! *Role*: arithmetic only, for [`arena`](super) and for who asks the page source.

use super::Arena;
use crate::base::size_class::SizeClass;
use crate::base::sync::AtomicUsize;
use crate::pages::geometry::Geometry;
use crate::pages::page::{Page, PageGroup};
use crate::pages::page_table::PageTable;
use crate::pages::slices::{Slices, run_for};
use crate::source::page_source::{PageSource, Region};

/// So many blocks a page has room for at least.
const BLOCKS: usize = 8;
/// The same where memory is short.
const FEW_BLOCKS: usize = 2;
/// So many pages of the usual size there are, or pages are smaller.
const LEAST_PAGES: usize = 64;
/// A page is so many times as long as its header at least.
const LEAST_HEADERS: usize = 16;

/// Where an arena's tables lie, in bytes from the start of its region.
pub struct Plan {
    /// Slices that there are tables for.
    pub capacity: usize,
    /// The bitmaps of slices.
    pub bitmaps: usize,
    /// The pointers to page groups.
    pub groups: usize,
    /// A table of the arena map.
    pub map_table: usize,
    /// Behind the last of them.
    pub end: usize,
}

impl<G: Geometry> Arena<G> {
    /// A region that grows has tables for so many times its first size.
    const REACH: usize = 8;

    /// Bytes of the shortest region that can have an arena of so many slices, without a table of the arena map.
    pub fn least_region_size(slices: usize) -> Option<usize> {
        Self::plan(slices, 0).end.checked_add(slices.checked_mul(G::SLICE_SIZE)?)
    }

    /// Where the page table's entries begin, in bytes from the arena. The same in every arena, for [`class_in`](Self::class_in).
    pub(super) const ENTRIES: usize = size_of::<Self>().next_multiple_of(align_of::<G::PageEntry>());

    /// For a region of so many slices, those that lie under the tables included, and a part of one at either end.
    /// With so many bytes for a table of the arena map.
    pub(super) const fn plan(slices: usize, map_bytes: usize) -> Plan {
        let bitmaps = (Self::ENTRIES + (slices + 2) * size_of::<G::PageEntry>()).next_multiple_of(align_of::<AtomicUsize>());
        let groups = bitmaps + Slices::<G>::table_words(slices) * size_of::<AtomicUsize>();
        let map_table = groups + PageTable::<G>::group_capacity(slices) * size_of::<AtomicUsize>();
        Plan { capacity: slices, bitmaps, groups, map_table, end: map_table + map_bytes }
    }

    /// Slices that are enough for one run of `slices` at `align` bytes wherever they start, for a group of headers, and for `extra`
    /// slices of other metadata.
    pub fn slices_for_run<S: PageSource>(slices: usize, align: usize, extra: usize) -> Option<usize> {
        slices.checked_add(align / G::SLICE_SIZE)?.checked_add(run_for::<S, G>(size_of::<PageGroup<G>>()) + extra)
    }

    /// Bytes a region must have, whatever its start, for an arena of so many slices.
    pub fn min_region_size<S: PageSource>(slices: usize) -> Option<usize> {
        let bytes = slices.checked_mul(G::SLICE_SIZE)?;
        // Twice, because the tables describe the slices that they take up as well; and for what a region may grow to.
        let tables = Self::plan(slices.checked_add(2)?, 0).end.checked_mul(if S::GROWS { 2 * Self::REACH } else { 2 })?;
        bytes.checked_add(tables)?.checked_add(2 * Self::first_align::<S>()).filter(|size| *size <= isize::MAX as usize)
    }

    /// What slice 0 is aligned to, in bytes.
    pub(super) const fn first_align<S: PageSource>() -> usize {
        if S::OS_PAGE_SIZE > G::SLICE_SIZE { S::OS_PAGE_SIZE } else { G::SLICE_SIZE }
    }

    /// What the headers take when so many slices are all in pages of the smallest blocks.
    pub(super) fn header_slices<S: PageSource>(slices: usize) -> usize {
        let pages = slices / Self::page_slices::<S>(SizeClass::from_index(0), usize::MAX);
        pages.div_ceil(size_of::<G::PageGroup<u8>>()) * run_for::<S, G>(size_of::<PageGroup<G>>())
    }

    /// How many bytes an arena in `region` has tables for: more than there are, if the region can grow.
    pub fn reach<S: PageSource>(region: Region) -> usize {
        let size = Self::usable_size(region);
        if S::GROWS { size.max(size.saturating_mul(Self::REACH).min(G::ARENA_SIZE)) } else { size }
    }

    /// What lies in front of slice 0 of an arena in `region`, in bytes, `map_bytes` for a table of the arena map among them.
    pub(super) fn front_for<S: PageSource>(region: Region, map_bytes: usize) -> Option<usize> {
        let start = region.start.addr().get();
        let inset = start.wrapping_neg() % align_of::<Self>();
        let end = inset + Self::plan(Self::reach::<S>(region) / G::SLICE_SIZE, map_bytes).end;
        Some(start.checked_add(end)?.checked_next_multiple_of(Self::first_align::<S>())? - start)
    }

    /// Bytes of a region that are used: one that ends at the end of the address space does without its last byte, so that no pointer
    /// wraps around.
    pub(super) fn usable_size(region: Region) -> usize {
        region.size.min(usize::MAX - region.start.addr().get())
    }

    /// How many slices a page of this class has where there are `slices` of them: where those are few, so are these, so that there are pages for
    /// many classes.
    pub fn page_slices<S: PageSource>(class: SizeClass, slices: usize) -> usize {
        let share = (slices / LEAST_PAGES).saturating_mul(G::SLICE_SIZE).max(LEAST_HEADERS * size_of::<Page<G>>());
        let (page_size, blocks) = if share < G::PAGE_SIZE { (share, FEW_BLOCKS) } else { (G::PAGE_SIZE, BLOCKS) };
        run_for::<S, G>(G::page_slices(class, page_size, blocks) * G::SLICE_SIZE)
    }
}

#[cfg(test)]
mod tests;
