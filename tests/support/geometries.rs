//! Geometries of the suites' own.

coreheap::geometry! {
    /// Magazines in a small heap; blocks up to a page of 4 slices.
    pub struct Small {
        slice_size: 512, max_block: 1024, page_size: 2048, arena_size: 64 * 1024, magazine_slots: 7,
        magazine_bytes: 1024, page_words: 2, pages_per_group: 8, listed_words: 4, arena_map: 4, grow_size: 4096, fit_candidates: 4,
        waits_up_to: 2048,
    }
}

cfg_if::cfg_if! {
    if #[cfg(miri)] {
        /// A heap with magazines; not [`Server`](coreheap::Server), whose arrays Miri walks element by element at each reference.
        pub type Hosted = Small;
    } else {
        /// A heap with magazines; [`Small`] under Miri, which walks the arrays of [`Server`](coreheap::Server) element by element
        /// at each reference to them.
        pub type Hosted = coreheap::Server;
    }
}
