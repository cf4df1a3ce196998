//! [`Once`]: a flag for memory that is handed out only once.
//!
//! *Role*: [`sources`](crate::sources) of fixed memory have one for each region, and so have ports'.
//!
//! *Invariant* Z1: at most one call of [`is_first`](Once::is_first) ever returns true. Without compare-and-swap, and without the feature
//! `critical-section`, this holds if the contexts that call it nest.

use crate::base::sync::{AtomicBool, Ordering};

/// Whether memory was handed out.
#[derive(Debug, Default)]
pub struct Once {
    is_out: AtomicBool,
    /// Whether a context is about to get it.
    is_asked: AtomicBool,
}

impl Once {
    /// Nobody came yet.
    pub const fn new() -> Self {
        Once { is_out: AtomicBool::new(false), is_asked: AtomicBool::new(false) }
    }

    /// Whether nobody came before (Z1).
    pub fn is_first(&self) -> bool {
        if cfg!(any(target_has_atomic = "ptr", feature = "critical-section")) {
            !self.is_out.swap(true, Ordering::Relaxed)
        } else {
            self.is_first_of_nested(|| ())
        }
    }

    /// The same by loads and stores, between which interrupts may come. An interrupt in the middle of this function is told false.
    fn is_first_of_nested(&self, interrupt: impl Fn()) -> bool {
        if self.is_asked.load(Ordering::Relaxed) {
            return false;
        }
        interrupt();
        self.is_asked.store(true, Ordering::Relaxed);
        interrupt();
        let is_out = self.is_out.load(Ordering::Relaxed);
        interrupt();
        self.is_out.store(true, Ordering::Relaxed);
        interrupt();
        self.is_asked.store(false, Ordering::Relaxed);
        !is_out
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::Cell;

    use super::*;

    #[test]
    fn one_of_nested_contexts_is_the_first() {
        for moment in 1..=4 {
            let (once, moments, firsts) = (Once::new(), Cell::new(0), Cell::new(0));
            let count = |is_first: bool| firsts.set(firsts.get() + usize::from(is_first));
            count(once.is_first_of_nested(|| {
                moments.set(moments.get() + 1);
                if moments.get() == moment {
                    count(once.is_first_of_nested(|| ()));
                }
            }));
            assert_eq!((firsts.get(), moments.get()), (1, 4), "an interrupt at moment {moment}");
            assert!(!once.is_first_of_nested(|| ()), "and nobody after them");
        }
    }
}
