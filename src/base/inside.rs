//! Whether a context is inside, where one at a time may be.
//!
//! *Role*: the mark at the door of what is no other context's business meanwhile. Nobody waits at it.
//!
//! *Invariant* Y1: after [`enter`](Inside::enter) said true no other context is told so before [`leave`](Inside::leave); who is then sees what was done
//! inside before.

use crate::base::sync::{AtomicBool, Ordering, const_but_in_models};

/// The mark.
#[derive(Debug, Default)]
pub struct Inside(AtomicBool);

impl Inside {
    const_but_in_models! {
        /// Nobody is.
        #[allow(dead_code)] // Where the only ones are made of zeroed memory: arenas' own.
        pub fn new() -> Self {
            Inside(AtomicBool::new(false))
        }
    }

    /// Goes inside; false if somebody is. Acquire pairs with `leave`.
    #[inline]
    pub fn enter(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    /// Leaves, after the caller has entered.
    #[inline]
    pub fn leave(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(all(test, any(loom, miri)))]
mod model;
