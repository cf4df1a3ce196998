//! The newest region of a heap, from which a list leads to all others; and how contexts agree on the first.
//!
//! *Role*: where a source has a region from the beginning ([`PageSource::first_region`](crate::PageSource::first_region)), each context that finds no
//! memory in the heap makes tables for it, and the first to be done makes them the heap's. So an interrupt that comes while another context is about
//! to is served like any other. Each of them, an attempt, has a part of the region to itself for its tables.
//!
//! *Invariants*
//! - W1: the word is null or odd until there is a region, a pointer to the newest one from then on. Odd ones count attempts.
//! - W2: attempt `n` writes at first in the `n`th area of the first region, and nowhere else; nobody else does before it has ended.

use core::ptr::{null_mut, without_provenance_mut};

use crate::base::sync::{AtomicPtr, Ordering, const_but_in_models};

/// The newest of a heap's regions, if there is any.
pub struct Newest<T>(AtomicPtr<T>);

/// Why an attempt did not make the first region.
pub enum Overtaken {
    /// There are so many attempts by now.
    By(usize),
    /// Another one did.
    Lost,
}

impl<T> Newest<T> {
    const_but_in_models! {
        /// None.
        pub fn new() -> Self {
            const { assert!(align_of::<T>() > 1, "no pointer is odd") };
            Newest(AtomicPtr::new(null_mut()))
        }
    }

    /// The newest one, or null; with what was written into it and those before, as all changes of the word are swaps. Acquire pairs with `publish`
    /// and `push`.
    #[inline]
    pub fn get(&self) -> *mut T {
        let newest = self.0.load(Ordering::Acquire);
        if newest.addr() % 2 == 1 { null_mut() } else { newest }
    }

    /// Makes this the newest one, after `link` has made it lead to the one before. If there is none yet, attempts to make the first one have lost.
    pub fn push(&self, newest: *mut T, link: impl Fn(*mut T)) {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            link(if attempts_of(before).is_some() { null_mut() } else { before });
            match self.0.compare_exchange_weak(before, newest, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// Begins an attempt, if there are fewer than `most`; returns its number, from 0. `None` also if there is a region already.
    pub fn begin(&self, most: usize) -> Option<usize> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let attempts = attempts_of(word).filter(|attempts| *attempts < most)?;
            match self.0.compare_exchange_weak(word, word_of(attempts + 1), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(attempts),
                Err(now) => word = now,
            }
        }
    }

    /// Ends an attempt that wrote nothing. If others began meanwhile, its area stays unused.
    pub fn give_up(&self, attempt: usize) {
        let _ = self.0.compare_exchange(word_of(attempt + 1), word_of(attempt), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes this the first one, if there are no more than `attempts` attempts, and no other was faster; `get` shows that one.
    pub fn publish(&self, first: *mut T, attempts: usize) -> Result<(), Overtaken> {
        match self.0.compare_exchange(word_of(attempts), first, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(word) => Err(attempts_of(word).map_or(Overtaken::Lost, Overtaken::By)),
        }
    }
}

/// The word for so many attempts.
fn word_of<T>(attempts: usize) -> *mut T {
    without_provenance_mut(2 * attempts + 1)
}

/// How many attempts a word counts; `None` for a pointer.
fn attempts_of<T>(word: *mut T) -> Option<usize> {
    (word.is_null() || word.addr() % 2 == 1).then_some(word.addr() / 2)
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
