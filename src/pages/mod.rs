//! Memory in slices and pages: regions under management, and which of their blocks are free.
//!
//! May use: `base`, `source`. Any context calls any function here at any time: all state is bits and words that are changed by atomic
//! operations. Nothing here knows a core.
//!
//! | file | what it is |
//! |---|---|
//! | `geometry.rs` | how big everything is |
//! | `page_entry.rs` | what a page table says of a slice |
//! | `page.rs` | page headers: free blocks as bits, listed pages as bits |
//! | `page_table.rs` | from a slice to its page header |
//! | `slices.rs` | free, committed and aged slices of an arena |
//! | `arena.rs` | one region: slices and page table together |
//! | `arena_map.rs` | from an address to its arena |
//! | `arenas.rs` | all regions |
//! | `region_blocks.rs` | large blocks that have a region each |

#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod arena_map;
#[cfg(not(loom))]
pub mod arenas;
pub mod geometry;
pub mod page;
pub mod page_entry;
pub mod page_table;
pub mod region_blocks;
#[cfg(not(loom))]
pub mod slices;
