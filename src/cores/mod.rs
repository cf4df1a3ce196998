//! What one core has for itself: its magazines of ready blocks and its current pages; and how a context is alone with them.
//!
//! May use: `base`, `pages`. [`CoreLocal`](crate::CoreLocal) is the trait for that; its kinds that need no port are in files of their own.
//!
//! | file | what it is |
//! |---|---|
//! | `magazine.rs` | a core's ready blocks of one class |
//! | `core_heap.rs` | the magazines and current pages of one core |
//! | `in_hand.rs` | free memory that a context has out for a moment |
//! | `core_local.rs` | being alone on a core's magazines |
//! | `try_flag.rs` | the same where other cores, threads or interrupts come in between |
//! | `beside.rs` | the same without being alone |
//! | `lease.rs` | the same by leasing core heaps to threads |

pub mod core_heap;
pub mod core_local;
pub mod in_hand;
pub mod magazine;

// They need read-modify-writes that no interrupt can come between.
cfg_if::cfg_if! {
    if #[cfg(any(loom, target_has_atomic = "ptr", feature = "critical-section"))] {
        pub mod beside;
        pub mod lease;
        pub mod try_flag;
    }
}
