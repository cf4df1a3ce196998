//! Moving pages instead of copying them: Linux' `mremap`.
//!
//! *Role*: [`Mmap`](super::Mmap)'s `remap`.
//!
//! Pages that were moved make a mapping of their own, because the kernel goes on numbering them by where they were first. So the ranges that
//! may hold such pages are counted (`ranges`), and when all are in use the next pages are copied. Memory that its pages have left, and memory
//! that is given back, is mapped anew, which makes it one mapping with what is around it again (`mappings`).
//!
//! *Invariant* N1: a range changes only by who owns the memory that it gains or loses. So who finds a range inside memory of its own
//! may rely on it, whatever others do. Who owns a part of it claims it first.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        mod mappings;
        mod ranges;

        pub use mappings::begin;
    } else {
        #[path = "remap/none.rs"]
        mod ranges;

        pub use ranges::begin;
    }
}

pub use ranges::{MovedRanges, REMAPS_FROM};
