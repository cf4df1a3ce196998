//! Where memory comes from: the trait [`PageSource`](crate::PageSource), sources that need no platform, and what every heap needs to ask one.
//!
//! May use: `base`. A source returns regions and knows nothing of the heap that asked. No heap asks one with anything locked or held: another
//! context, or the source itself, may call the heap meanwhile.
//!
//! | file | what it is |
//! |---|---|
//! | `page_source.rs` | the trait that memory comes through |
//! | `once.rs` | memory that goes out once |
//! | `sources.rs` | page sources that need no platform |
//! | `newest.rs` | the newest of a heap's regions, and who makes the first |
//! | `asking.rs` | contexts that run out of memory together |
//! | `spare.rs` | room for one region that is of no use yet |

pub mod asking;
pub mod newest;
#[cfg(not(loom))]
pub mod once;
pub mod page_source;
#[cfg(not(loom))]
pub mod sources;
pub mod spare;
