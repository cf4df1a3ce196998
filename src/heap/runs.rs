//! What lies where: a walk over all memory of a heap, for a picture of it.
//!
//! *Role*: reads the slice bitmaps and the page headers, on demand, as [`stats`](crate::heap::stats) does: nothing is kept for it.

use core::iter;

use crate::base::size_class::SizeClass;
use crate::cores::core_local::CoreLocal;
use crate::heap::Heap;
use crate::pages::arena::Arena;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;
use crate::pages::region_blocks::RegionBlock;
use crate::source::page_source::PageSource;

/// Memory of a heap that serves one purpose: a run of slices, or the tables in front of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its address.
    pub start: usize,
    /// Its bytes.
    pub size: usize,
    /// What it serves for.
    pub content: Content,
}

/// What lies in a [`Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// The heap's own: tables, page headers, core heaps.
    Metadata,
    /// Nothing.
    Free {
        /// Whether it may be resident: it was used once, and not given back.
        committed: bool,
    },
    /// A page: blocks of one size class.
    Page {
        /// Bytes in a block.
        block_size: usize,
        /// Blocks in the page.
        blocks: usize,
        /// Those that are not free in the page: the program's, and those in magazines.
        taken: usize,
        /// The core that takes its blocks from this page now.
        core: Option<usize>,
    },
    /// A large block.
    Large,
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// What lies where: all memory of each region from its start on, but for what is left over behind its last slice.
    ///
    /// A snapshot that is exact while no other context uses the heap. It allocates nothing, and takes time in proportion to the memory, and for
    /// each page to the number of cores.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let of_arenas = self.arenas.iter().flat_map(move |arena| {
            let tables = Run { start: arena.region().start.addr().get(), size: arena.front_bytes(), content: Content::Metadata };
            let mut slice = 0;
            let runs = iter::from_fn(move || {
                let first = slice;
                let (content, end) = self.content_at(arena, first)?;
                slice = end;
                let start = arena.slices().pointer(first).addr().get();
                Some(Run { start, size: (end - first) * G::SLICE_SIZE, content })
            });
            iter::once(tables).chain(runs)
        });
        of_arenas.chain(self.region_blocks.blocks().flat_map(Self::runs_of_region))
    }

    /// A block that has a region of its own, and what is left of that before and behind it.
    fn runs_of_region(block: &RegionBlock) -> impl Iterator<Item = Run> {
        let known = block.start().and_then(|start| Some((start, block.size(), block.region()?)));
        let runs = known.map_or([(0, 0, Content::Large); 3], |(start, size, region)| {
            let (region_start, free) = (region.start.addr().get(), Content::Free { committed: false });
            let before = start.saturating_sub(region_start);
            let behind = region.size.saturating_sub(before + size);
            [(region_start, before, free), (start, size, Content::Large), (start + size, behind, free)]
        });
        runs.into_iter().filter(|(_, size, _)| *size > 0).map(|(start, size, content)| Run { start, size, content })
    }

    /// What lies at this slice, and the slice behind the run; `None` behind the last slice.
    fn content_at(&self, arena: &Arena<G>, slice: usize) -> Option<(Content, usize)> {
        let slices = arena.slices();
        let count = slices.count();
        if slice >= count {
            return None;
        }
        let (free, committed) = (slices.free(), slices.committed());
        let len = free.run_at(slice, count - slice);
        if len > 0 {
            let resident = committed.run_at(slice, len);
            let end = if resident > 0 { slice + resident } else { committed.next_run(slice).map_or(count, |run| run.start) };
            return Some((Content::Free { committed: resident > 0 }, end.min(slice + len)));
        }
        // A page that others open or retire meanwhile may say anything of its length.
        let end_of = |page: &Page<G>| (slice + page.slice_count().max(1)).min(count);
        let page = arena.table().page_at(slice);
        Some(match page.and_then(|page| Some((page, page.class()?))) {
            Some((page, class)) => (self.page_content(page, class), end_of(page)),
            None if page.is_some_and(Page::is_large) => (Content::Large, page.map_or(count, end_of)),
            None if page.is_some_and(Page::is_waiting) => (Content::Free { committed: true }, page.map_or(count, end_of)),
            None => (Content::Metadata, self.end_of_metadata(arena, slice)),
        })
    }

    /// The first slice behind `slice` that is free, or has an entry in the page table.
    fn end_of_metadata(&self, arena: &Arena<G>, slice: usize) -> usize {
        let count = arena.slices().count();
        let is_other = |slice: &usize| arena.slices().free().run_at(*slice, 1) > 0 || arena.table().page_at(*slice).is_some();
        (slice + 1..count).find(is_other).unwrap_or(count)
    }

    fn page_content(&self, page: &Page<G>, class: SizeClass) -> Content {
        let (blocks, core) = (page.block_count(), self.core_of(page, class));
        Content::Page { block_size: class.block_size(), blocks, taken: blocks.saturating_sub(page.free_count()), core }
    }
}
