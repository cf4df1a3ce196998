//! [`SmallStats`]: the report of the heaps without pages.

use core::fmt;

/// How a [`SmallHeap`](crate::SmallHeap), [`HeaderlessHeap`](crate::HeaderlessHeap) or [`DenseHeap`](crate::DenseHeap) is doing, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SmallStats {
    /// In the heap's regions, but for its metadata.
    pub capacity: usize,
    /// In blocks that the program holds.
    pub used: usize,
    /// In the longest free run: the biggest block that could be had.
    pub largest_free_run: usize,
    /// How many mistakes of the program were seen; see [`Misuse`](crate::Misuse).
    pub misuses: usize,
}

impl fmt::Display for SmallStats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SmallStats { capacity, used, largest_free_run, misuses } = *self;
        write!(out, "used {used} of {capacity} B, largest free run {largest_free_run} B, misuses {misuses}")
    }
}
