//! The heaps without size classes, pages and cores, for memory in KiB.
//!
//! May use: `base`, `source`. [`SmallHeap`](crate::SmallHeap) is for any context. [`HeaderlessHeap`](crate::HeaderlessHeap) and
//! [`DenseHeap`](crate::DenseHeap) are for one context at a time, which an [`Exclusion`](crate::Exclusion) sees to.
//!
//! | file | what it is |
//! |---|---|
//! | `small_heap.rs` | the heap for memory in KiB, for any context |
//! | `exclusion.rs` | being alone in a heap |
//! | `words.rs` | what heaps keep in blocks that nobody has, and their lists |
//! | `headerless_heap.rs` | the same, which keeps nothing for a block |
//! | `dense_heap.rs` | the heap for contexts that keep off each other |
//! | `small_stats.rs` | the report of the heaps without pages |

#[cfg(not(loom))]
pub mod dense_heap;
#[cfg(not(loom))]
pub mod exclusion;
#[cfg(not(loom))]
pub mod headerless_heap;
pub mod small_heap;
pub mod small_stats;
#[cfg(not(loom))]
pub mod words;
