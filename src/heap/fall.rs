//! When memory goes back at once: because use has fallen.
//!
//! *Role*: a program that frees most of what it had seldom needs it again soon, and may never call again; so there is no time to wait until memory is aged.
//! [`reclaim`](super::reclaim) asks here with each page and large block that goes back to the slices.
//!
//! What went back and is needed again was given in vain. Each time that happens, nothing more goes back this way until time has made up for it.
//! All counts are estimates: they are in no order with anything, and no memory changes hands by them.

use crate::base::sync::{AtomicUsize, Ordering};

/// Use has fallen if it is half of what it was, or less, and so many bytes less.
const LEAST: usize = 4 << 20;
/// About so many bytes are given back between two looks at the clock: in a millisecond, or in far less where pages are huge.
pub(super) const STEP: usize = 16 << 20;
/// For about so long memory is given back at a time, in milliseconds of the source's clock.
pub(super) const MOST_MS: usize = 2;
/// In at most so many steps, should the clock stand still.
pub(super) const MOST_STEPS: usize = 16;
/// What it costs to find that there is little to give back, as if so many bytes were needed again.
const VAIN: usize = 1 << 20;
/// So many bytes of what is needed again a millisecond makes up for. That is 3 % of the time, if it takes 250 us to have 1 MiB given anew.
const BYTES_PER_MS: usize = 128 << 10;
/// A context that has not ended by then is taken for one that a `fork` has left behind.
const LONGEST_MS: usize = 1000;

/// How many slices of arenas are in use, and how many were.
pub(crate) struct Fall {
    /// The most that were in use since memory last went back.
    high: AtomicUsize,
    /// What went back, and was not needed again.
    given: AtomicUsize,
    /// What was needed again, and is not made up for.
    debt: AtomicUsize,
    /// Until when time has made up for some of that, in milliseconds.
    paid_until_ms: AtomicUsize,
    /// Until when the context that gives memory back is waited for, in milliseconds; 0 if there is none.
    busy_until_ms: AtomicUsize,
}

impl Fall {
    pub const fn new() -> Self {
        let [high, given, debt, paid_until_ms, busy_until_ms] = [const { AtomicUsize::new(0) }; 5];
        Fall { high, given, debt, paid_until_ms, busy_until_ms }
    }

    /// Notes that so many slices are in use, which may be more than before.
    pub fn note_rise(&self, used: usize) {
        let risen = used.saturating_sub(self.high.fetch_max(used, Ordering::Relaxed));
        if risen == 0 || self.given.load(Ordering::Relaxed) == 0 {
            return;
        }
        let take = |given: usize| Some(given.saturating_sub(risen));
        let given = self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        self.debt.fetch_add(given.min(risen), Ordering::Relaxed);
    }

    /// Whether memory should go back now that so many slices of `slice_size` bytes are in use: then the caller gives some, and says so. Only one context does
    /// at a time, and no other call of this inside.
    pub fn begin(&self, used: usize, slice_size: usize, now_ms: usize) -> bool {
        let fallen = self.high.load(Ordering::Relaxed).saturating_sub(used);
        if fallen < used || fallen < LEAST / slice_size {
            return false;
        }
        // As differences: the clock may wrap around, and others may have read it later.
        let is_before = |then: usize| (now_ms.wrapping_sub(then) as isize) < 0;
        let busy_until = self.busy_until_ms.load(Ordering::Relaxed);
        if busy_until != 0 && is_before(busy_until) || !self.is_made_up_for(slice_size, now_ms) {
            return false;
        }
        let until = now_ms.wrapping_add(LONGEST_MS).max(1);
        self.busy_until_ms.compare_exchange(busy_until, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether there is no debt left by now.
    fn is_made_up_for(&self, slice_size: usize, now_ms: usize) -> bool {
        let until = match self.paid_until_ms.load(Ordering::Relaxed) {
            // The first look, whatever the clock shows.
            0 => now_ms,
            until => until,
        };
        let elapsed = (now_ms.wrapping_sub(until) as isize).max(0) as usize;
        let made_up = elapsed.saturating_mul(BYTES_PER_MS) / slice_size;
        if made_up > 0 || until == now_ms {
            self.paid_until_ms.store(now_ms, Ordering::Relaxed);
        }
        let pay = |debt: usize| Some(debt.saturating_sub(made_up));
        self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok_and(|debt| debt <= made_up)
    }

    /// Notes that the memory of so many slices of `slice_size` bytes went back, and if that was all, that only so many are in use.
    pub fn note_given(&self, slices: usize, slice_size: usize, used_if_all: Option<usize>) {
        self.given.fetch_add(slices, Ordering::Relaxed);
        if let Some(used) = used_if_all {
            self.high.store(used, Ordering::Relaxed);
            if slices < LEAST / slice_size / 2 {
                // Where the source takes nothing back, say: not with each free.
                self.debt.fetch_add(VAIN.div_ceil(slice_size), Ordering::Relaxed);
            }
        }
    }

    /// Ends what [`begin`](Self::begin) began.
    pub fn end(&self) {
        self.busy_until_ms.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
