//! Free memory that a context has in hand for a moment: blocks on their way between a page and a magazine, a page that it holds, slices whose
//! memory it gives back.
//!
//! *Role*: while memory is short, whoever takes some in hand says so in the word of its core. So a context that finds nothing free knows whether
//! there is something to wait for.
//!
//! *Invariant* I1: between a [`Hand`]'s taking and its end the word counts it; after an end that gave something back the word shows another
//! number of moves. So who finds nothing, sees each word without a hand after that, and the same number of moves as before it searched, knows that
//! nothing was in hand meanwhile.
//!
//! Slices that were claimed for nothing are no move: [`Slices`](crate::pages::slices::Slices) counts them. And after contexts were
//! [forgotten](InHand::forget), because they were waited for in vain, one of them that comes back may hide another one once.
//!
//! *Concurrency*: the count is raised before memory is taken, and lowered after it was given back. The fences say so to who searches, who sees
//! first that the memory is not there, and then looks at the word.

use crate::base::sync::{AtomicUsize, Ordering, WORD_BITS, const_but_in_models, fence};

/// One move. Below it is how many have something in hand.
const MOVE: usize = 1 << (WORD_BITS / 2);

/// How many contexts on one core have memory in hand, and how often some was given back. All zero at first.
#[derive(Debug)]
pub struct InHand(AtomicUsize);

impl InHand {
    const_but_in_models! {
        /// Nobody has anything in hand.
        pub fn new() -> Self {
            InHand(AtomicUsize::new(0))
        }
    }

    /// Whether nobody has anything in hand now.
    #[allow(dead_code)] // In models.
    pub fn is_empty(&self) -> bool {
        self.load().is_multiple_of(MOVE)
    }

    /// How often something was given back, as far as the word counts.
    pub fn moves(&self) -> usize {
        self.load() / MOVE
    }

    /// Forgets all who have something in hand: they were waited for in vain, or ended. One that comes back all the same is not counted twice.
    #[allow(dead_code)] // In models.
    pub fn forget(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(word / MOVE * MOVE));
    }

    fn end(&self, moves: bool) {
        let end = |word: usize| {
            let counted = if word.is_multiple_of(MOVE) { word } else { word - 1 };
            Some(if moves { counted.wrapping_add(MOVE) } else { counted })
        };
        // Publishes what was given back to who sees the new number.
        let _ = self.0.fetch_update(Ordering::Release, Ordering::Relaxed, end);
    }

    fn load(&self) -> usize {
        // Pairs with the fence in `Hand::new`: what was not found because it is in hand, is counted now.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Acquire)
    }
}

/// What a context has in hand.
#[must_use]
pub struct Hand<'a> {
    word: Option<&'a InHand>,
    moves: bool,
}

impl<'a> Hand<'a> {
    /// Says that this context is about to take memory in hand; or nothing, without a word.
    #[inline]
    pub fn new(word: Option<&'a InHand>) -> Self {
        if let Some(word) = word {
            word.0.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::Release);
        }
        Hand { word, moves: false }
    }

    /// Notes that something was taken, all of which others find again when this ends.
    #[inline]
    pub fn moves(&mut self) {
        self.moves = true;
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if let Some(word) = self.word {
            word.end(self.moves);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
