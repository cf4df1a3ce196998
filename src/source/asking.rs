//! Contexts that run out of memory together.
//!
//! *Role*: [`arenas`](crate::pages::arenas) asks the page source with nothing held, so several contexts may at a time, and one of them may get all there is.
//! Here they wait a short time for the first of them to come back with memory, then ask themselves. Who is refused waits longer for those that are
//! still asking. One on the core of another, because it interrupted it or was called by the source, is not waited for; so nobody is ever stuck.
//!
//! *Invariant* Q1: before a context asks, the bit of its core is set, and stays so until what it got can be found, and the generation says so. So who
//! is refused because of another one sees that bit, or the new generation.

use crate::base::sync::{AtomicUsize, Ordering, WORD_BITS, const_but_in_models, fence, spin_loop};

/// How long a context waits for another core that is asking the source before it asks too, in spins.
const SHORT_WAIT: usize = if cfg!(loom) {
    0
} else if cfg!(miri) {
    10
} else {
    20_000
};
/// How long when the source has refused. Tables are committed meanwhile, on slow machines in milliseconds.
pub const LONG_WAIT: usize = if cfg!(loom) {
    6
} else if cfg!(miri) {
    100
} else {
    5_000_000
};

/// Who is asking the page source, and how often memory came in.
pub struct Asking {
    /// Bit `n`: core `n`, or one by a multiple of the bits beyond, is asking.
    cores: AtomicUsize,
    generation: AtomicUsize,
}

impl Asking {
    const_but_in_models! {
        /// Nobody.
        pub fn new() -> Self {
            Asking { cores: AtomicUsize::new(0), generation: AtomicUsize::new(0) }
        }
    }

    /// Changes whenever memory comes in. Who sees the new one finds the memory: Acquire pairs with `note_memory`.
    pub fn generation(&self) -> usize {
        self.generation.load(Ordering::Acquire)
    }

    /// Notes that memory came in, and can be found.
    pub fn note_memory(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Who is asking, for tests.
    #[cfg(all(test, not(loom)))]
    pub fn cores(&self) -> &AtomicUsize {
        &self.cores
    }

    /// Runs `ask`, which asks the source, for a context on this core; it is told whether another one there does already. True if memory came in: also
    /// if others got some since the generation was this. Who was refused while others were asking asks once more when they are done: what they asked
    /// for may have been held back for them.
    pub fn ask(&self, core: usize, generation: usize, ask: impl Fn(bool) -> bool) -> bool {
        let this = 1 << (core % WORD_BITS);
        self.wait_for_others(this, generation, SHORT_WAIT);
        self.ask_now(this, generation, &ask) || self.ask_again(this, generation, ask)
    }

    /// Waits for the others that are asking, if there are some, then asks as they did. For one who was refused.
    fn ask_again(&self, this: usize, generation: usize, ask: impl Fn(bool) -> bool) -> bool {
        fence(Ordering::Acquire);
        if self.others(this, generation) == 0 {
            return self.generation() != generation;
        }
        // Those that are still asking then ended while they asked, as a worker that is terminated does: nobody waits for them again.
        let lost = self.wait_for_others(this, generation, LONG_WAIT);
        self.cores.fetch_and(!lost, Ordering::Relaxed);
        self.ask_now(this, generation, ask)
    }

    /// Asks, unless memory came in since the generation was this; true if it did, or comes in now.
    fn ask_now(&self, this: usize, generation: usize, ask: impl Fn(bool) -> bool) -> bool {
        let is_nested = self.cores.fetch_or(this, Ordering::Relaxed) & this != 0;
        // Whoever the source refuses because of this one sees the bit: pairs with the fence in `ask_again`.
        fence(Ordering::Release);
        let mut grown = self.generation() != generation;
        if !grown && ask(is_nested) {
            self.note_memory();
            grown = true;
        }
        if !is_nested {
            // Publishes the generation to who waits.
            self.cores.fetch_and(!this, Ordering::Release);
        }
        grown
    }

    /// The other cores that are asking; none once memory came in.
    fn others(&self, this: usize, generation: usize) -> usize {
        // Acquire pairs with the end of `ask_now`.
        if self.generation() == generation { self.cores.load(Ordering::Acquire) & !this } else { 0 }
    }

    /// Waits while other cores are asking the source, until memory comes in; returns those for which that was in vain.
    fn wait_for_others(&self, this: usize, generation: usize, spins: usize) -> usize {
        let is_asking = |_| {
            spin_loop();
            self.others(this, generation) != 0
        };
        if spins > 0 && self.others(this, generation) != 0 && (0..spins).all(is_asking) {
            self.others(this, generation)
        } else {
            0
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
