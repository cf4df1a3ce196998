//! [`ModuleGeometry`]: how big everything is.

use crate::linear_memory::PAGE_SIZE;

coreheap::geometry! {
    /// For modules that may be small and may become big: slices of 2 KiB, pages of 8 KiB, magazines of up to 31 blocks. The first 64 KiB are enough
    /// for a small program with a page for each of a dozen size classes.
    pub struct ModuleGeometry {
        slice_size: 2048, max_block: 2048, page_size: 8192, arena_size: 4 << 20, magazine_slots: 31,
        page_words: 256 / usize::BITS as usize, pages_per_group: 30, listed_words: 16, arena_map: 64, grow_size: PAGE_SIZE, fit_candidates: 8,
    }
}
