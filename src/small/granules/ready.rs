//! Ready blocks: of each small size, two at most, one of which is the one freed last.
//!
//! *Role*: the fast path of a [`SmallHeap`](super::SmallHeap): most blocks are allocated again soon after they were freed.
//!
//! *Invariant* U4: a slot holds 0, or the address of a block that is nobody's, whose granules are claimed; whoever swaps it out owns it.
//!
//! *Concurrency*: each operation is one atomic swap, so any context may interrupt any other.

use core::num::NonZeroUsize;

use crate::base::size_class::GRANULE;
use crate::base::sync::{AtomicUsize, Ordering, array_of, const_but_in_models, fence};

/// Bytes of the biggest blocks that can be ready.
pub const MAX_READY: usize = 256;

/// How many sizes there are.
const SLOTS: usize = MAX_READY / GRANULE;

/// The slots. All zero: no block is ready, and none may be.
pub struct Ready {
    slots: [[AtomicUsize; 2]; SLOTS],
    /// Bigger blocks go home.
    limit: AtomicUsize,
}

impl Ready {
    const_but_in_models! {
        pub fn new() -> Self {
            Ready { slots: array_of!(array_of!(AtomicUsize::new(0))), limit: AtomicUsize::new(0) }
        }
    }

    /// A block for `size` bytes, if one is ready.
    #[inline(always)]
    pub fn take(&self, size: usize) -> Option<NonZeroUsize> {
        let [first, second] = self.slots_for(size)?;
        take(first).or_else(|| take(second))
    }

    /// Makes an owned block of `size` bytes ready. Returns the one that goes home instead: this, or one that was ready before.
    #[inline(always)]
    pub fn put(&self, size: usize, block: NonZeroUsize) -> Option<NonZeroUsize> {
        let last = size.wrapping_sub(1);
        if last >= self.limit.load(Ordering::Relaxed) {
            return Some(block);
        }
        // The limit is at most `MAX_READY`, so the remainder changes nothing; it is cheaper than a check.
        let [first, second] = &self.slots[last / GRANULE % SLOTS];
        let slot = if first.load(Ordering::Relaxed) == 0 { first } else { second };
        let before = NonZeroUsize::new(slot.swap(block.get(), Ordering::Release))?;
        // What its last owner wrote was before.
        fence(Ordering::Acquire);
        Some(before)
    }

    /// Sets how many bytes the biggest blocks have that may be ready.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit.min(MAX_READY), Ordering::Relaxed);
    }

    /// Takes all blocks out, each with its size.
    pub fn drain(&self) -> impl Iterator<Item = (NonZeroUsize, usize)> {
        self.slots().filter_map(|(slot, size)| Some((take(slot)?, size)))
    }

    /// All blocks, which stay ready: a snapshot.
    pub fn blocks(&self) -> impl Iterator<Item = (NonZeroUsize, usize)> {
        self.slots().filter_map(|(slot, size)| Some((NonZeroUsize::new(slot.load(Ordering::Relaxed))?, size)))
    }

    /// The slots for blocks of `size` bytes; none for size 0, whose blocks always go home.
    #[inline(always)]
    fn slots_for(&self, size: usize) -> Option<&[AtomicUsize; 2]> {
        self.slots.get(size.wrapping_sub(1) / GRANULE)
    }

    fn slots(&self) -> impl Iterator<Item = (&AtomicUsize, usize)> {
        self.slots.iter().zip(1..).flat_map(|(slots, len)| slots.iter().map(move |slot| (slot, len * GRANULE)))
    }
}

#[inline(always)]
fn take(slot: &AtomicUsize) -> Option<NonZeroUsize> {
    // An empty slot costs no write.
    NonZeroUsize::new(slot.load(Ordering::Relaxed)).and_then(|_| NonZeroUsize::new(slot.swap(0, Ordering::Acquire)))
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
