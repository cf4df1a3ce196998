//! Counting the calls to a page source, and refusing some of them.

use coreheap::port::sync::{AtomicUsize, Ordering};

/// The calls that a page source answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `PageSource::reserve`
    Reserve,
    /// `PageSource::commit`
    Commit,
    /// `PageSource::decommit`
    Decommit,
    /// `PageSource::release`
    Release,
    /// `PageSource::grow`
    Grow,
    /// `PageSource::remap`
    Remap,
    /// `PageSource::discard`
    Discard,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 7] =
        [Call::Reserve, Call::Commit, Call::Decommit, Call::Release, Call::Grow, Call::Remap, Call::Discard];
}

/// One kind of call: how often it came, and which of them are refused.
#[derive(Debug, Default)]
struct Kind {
    calls: AtomicUsize,
    granted: AtomicUsize,
    /// Every so many-th call is refused; 0: none.
    refuse_every: AtomicUsize,
}

/// What was called how often, and which calls are refused.
#[derive(Debug, Default)]
pub struct Refusals([Kind; Call::ALL.len()]);

impl Refusals {
    /// From now on refuses every `n`-th call: all for 1, none for 0.
    pub fn refuse_every(&self, call: Call, n: usize) {
        self.0[call as usize].refuse_every.store(n, Ordering::Relaxed);
    }

    /// How often this was called.
    pub fn calls(&self, call: Call) -> usize {
        self.0[call as usize].calls.load(Ordering::Relaxed)
    }

    /// How often this was called and done.
    pub fn granted(&self, call: Call) -> usize {
        self.0[call as usize].granted.load(Ordering::Relaxed)
    }

    /// Counts a call; whether it is to be answered.
    pub(crate) fn admit(&self, call: Call) -> bool {
        let kind = &self.0[call as usize];
        let number = kind.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let every = kind.refuse_every.load(Ordering::Relaxed);
        every == 0 || !number.is_multiple_of(every)
    }

    /// Counts a call that was answered with yes.
    pub(crate) fn grant(&self, call: Call) {
        self.0[call as usize].granted.fetch_add(1, Ordering::Relaxed);
    }
}
