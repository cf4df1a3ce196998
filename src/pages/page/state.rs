//! What a page header describes, in one word.
//!
//! *Role*: [`page`](super) changes a header's state here and nowhere else. Its documentation has the table of all changes.
//!
//! *Concurrency*: who has a header alone replaces its state, everybody else compares and swaps, so each change has one author. Whoever sees a
//! state sees what was written before it. What is named `_in_total_order` is in one total order with changes of a page's words, and looks at them.

use core::fmt;

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicU32, Ordering, total_order};

const CLASS_BITS: u32 = 8;
const PHASE_BITS: u32 = 3;
const EPOCH_SHIFT: u32 = CLASS_BITS + PHASE_BITS;
const CLASS_MASK: u32 = (1 << CLASS_BITS) - 1;
const PHASE_MASK: u32 = ((1 << PHASE_BITS) - 1) << CLASS_BITS;
/// Of everything that is no page.
const NO_CLASS: u32 = CLASS_MASK;

/// What a header describes, and who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: anybody may claim it.
    Unused,
    /// One context has the header alone: it is about to describe something, or nothing.
    Claimed,
    /// A page that a context works with, or that a core takes its blocks from.
    Held,
    /// A page that waits to be held. It had a free block when it was let go, or has got one since.
    Listed,
    /// A page without a free block.
    Full,
    /// A large block.
    Large,
    /// A large block that waits in a magazine. Whoever has it out of there has the header alone.
    Waiting,
}

/// The value of a state word: a phase, the size class of a page, and an epoch. The epoch counts how often the header was claimed, or its large block
/// handed out again; by it a late look knows whether it still sees the same page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State(u32);

impl State {
    /// An unused header that was never claimed.
    pub const FIRST: State = State(NO_CLASS | (Phase::Unused as u32) << CLASS_BITS);

    /// The phase.
    #[inline]
    pub fn phase(self) -> Phase {
        const PHASES: [Phase; 1 << PHASE_BITS] =
            [Phase::Unused, Phase::Claimed, Phase::Held, Phase::Listed, Phase::Full, Phase::Large, Phase::Waiting, Phase::Unused];
        PHASES[((self.0 & PHASE_MASK) >> CLASS_BITS) as usize]
    }

    /// The class of a page; `None` for everything else.
    #[inline]
    pub fn class(self) -> Option<SizeClass> {
        let class = self.0 & CLASS_MASK;
        (class != NO_CLASS).then(|| SizeClass::from_index(class as usize))
    }

    /// How often the header was claimed, or its large block handed out again, modulo some million.
    #[inline]
    pub fn epoch(self) -> usize {
        (self.0 >> EPOCH_SHIFT) as usize
    }

    /// Whether both are of the same claim: the same page, or the same large block.
    #[inline]
    pub fn is_same_claim(self, other: State) -> bool {
        self.epoch() == other.epoch()
    }

    /// The header claimed once more.
    pub fn next_claim(self) -> State {
        State::FIRST.with(Phase::Claimed).with_epoch((self.0 >> EPOCH_SHIFT) + 1)
    }

    /// The same page in another phase.
    #[inline]
    pub fn with(self, phase: Phase) -> State {
        State(self.0 & !PHASE_MASK | (phase as u32) << CLASS_BITS)
    }

    /// The same claim, but no page.
    pub fn without_class(self, phase: Phase) -> State {
        State(self.with(phase).0 | NO_CLASS)
    }

    /// The same claim, a page of this class that is held.
    pub fn with_class(self, class: SizeClass) -> State {
        State(self.with(Phase::Held).0 & !CLASS_MASK | class.index() as u32)
    }

    fn with_epoch(self, epoch: u32) -> State {
        State(self.0 & (CLASS_MASK | PHASE_MASK) | epoch << EPOCH_SHIFT)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}, {:?}, epoch {}", self.phase(), self.class(), self.0 >> EPOCH_SHIFT)
    }
}

/// A header's state.
#[derive(Debug)]
pub struct StateWord(AtomicU32);

impl StateWord {
    /// In this state.
    #[cfg(all(test, any(loom, miri)))]
    pub fn new(state: State) -> Self {
        StateWord(AtomicU32::new(state.0))
    }

    /// The state, with what was written before it.
    #[inline]
    pub fn load(&self) -> State {
        State(self.0.load(Ordering::Acquire))
    }

    /// The state, in the total order.
    #[inline]
    pub fn load_in_total_order(&self) -> State {
        State(total_order::look(Ordering::SeqCst, |order| self.0.load(order)))
    }

    /// Publishes a state and what was written before it; the caller has the header alone.
    pub fn publish(&self, state: State) {
        self.0.store(state.0, Ordering::Release);
    }

    /// Replaces the state by that of a page that is no longer held; the caller holds it.
    ///
    /// A swap, which x86 makes of a store anyway. QEMU on x86 lets the load after an AArch64 store pass it, and kernels do run there.
    pub fn replace_in_total_order(&self, state: State) {
        total_order::change(Ordering::SeqCst, |order| self.0.swap(state.0, order));
    }

    /// Changes one state to another, if it is that one; whether it was. What was written before the first is seen after, and seen by who sees the
    /// second: a swap goes on with the release sequence.
    pub fn change(&self, from: State, to: State) -> bool {
        self.0.compare_exchange(from.0, to.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
