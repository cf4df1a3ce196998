//! When memory goes back at once: because use has fallen.
//!
//! *Role*: a program that frees most of what it had seldom needs it again soon, and may never call again; so there is no time to wait until memory is aged.
//! [`reclaim`](super::reclaim) asks here with each page and large block that is freed.
//!
//! What went back and is needed again was given in vain. Each time that happens, nothing more goes back this way until time has made up for it.
//! All counts are estimates: they are in no order with anything, and no memory changes hands by them.

use crate::base::sync::{AtomicUsize, Ordering};

/// Use has fallen if it is half of what it was, or less, and so many bytes less.
const LEAST: usize = 4 << 20;
/// No call gives back more bytes at a time. It takes about a millisecond.
pub(super) const STEP: usize = 16 << 20;
/// So many bytes of what is needed again a millisecond makes up for. That is 3 % of the time, if it takes 250 us to have 1 MiB given anew.
const BYTES_PER_MS: usize = 128 << 10;

/// How much is in use, and how much was. In slices.
pub(crate) struct Fall {
    /// The most that was in use since memory last went back.
    high: AtomicUsize,
    /// What went back, and was not needed again.
    given: AtomicUsize,
    /// What was needed again, and is not made up for.
    debt: AtomicUsize,
    /// Until when time has made up for some of that, in milliseconds.
    until_ms: AtomicUsize,
}

impl Fall {
    pub const fn new() -> Self {
        let [high, given, debt, until_ms] = [const { AtomicUsize::new(0) }; 4];
        Fall { high, given, debt, until_ms }
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

    /// Whether memory should go back now that so many slices of `slice_size` bytes are in use.
    pub fn is_due(&self, used: usize, slice_size: usize, now_ms: usize) -> bool {
        let fallen = self.high.load(Ordering::Relaxed).saturating_sub(used);
        if fallen < used || fallen < LEAST / slice_size {
            return false;
        }
        let elapsed = now_ms.wrapping_sub(self.until_ms.swap(now_ms, Ordering::Relaxed));
        let made_up = elapsed.saturating_mul(BYTES_PER_MS) / slice_size;
        let pay = |debt: usize| Some(debt.saturating_sub(made_up));
        let debt = self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).unwrap_or(0);
        debt <= made_up
    }

    /// Notes that the memory of so many slices went back, and if that was all, that only so many are in use.
    pub fn note_given(&self, slices: usize, used_if_all: Option<usize>) {
        self.given.fetch_add(slices, Ordering::Relaxed);
        if let Some(used) = used_if_all {
            self.high.store(used, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
