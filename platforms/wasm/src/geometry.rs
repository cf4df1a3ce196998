//! [`ModuleGeometry`]: how big everything is.

use crate::linear_memory::PAGE_SIZE;

coreheap::geometry! {
    /// For modules that may be small and may become big: slices of 2 KiB, pages of 8 KiB, magazines of up to 31 blocks. The first 64 KiB are enough
    /// for a small program with a page for each of a dozen size classes.
    pub struct ModuleGeometry {
        slice_size: 2048, fit_candidates: 8, max_block: 2048, page_size: 8192, page_words: 256 / usize::BITS as usize,
        pages_per_group: 30, room_words: 16, page_entry_bits: 32,
        magazine_slots: 31, magazine_bytes: 8 * 1024,
        arena_size: 4 << 20, arena_map: 64, grow_size: PAGE_SIZE,
    }
}
