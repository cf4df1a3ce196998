//! Room for one region that is of no use yet.
//!
//! *Role*: what [`arenas`](crate::pages::arenas) cannot make an arena of, because its tables were not committed, and the page source cannot take back, waits
//! here for the next try.
//!
//! *Invariant* V1: while `size` is not 0, only who set it writes `start`, and only who took `start` out sets `size` to 0.

use core::ptr::{NonNull, null_mut};

use crate::base::sync::{AtomicPtr, AtomicUsize, Ordering, const_but_in_models, publish};
use crate::source::page_source::Region;

/// The region, if there is one.
pub struct Spare {
    start: AtomicPtr<u8>,
    size: AtomicUsize,
}

impl Spare {
    const_but_in_models! {
        /// None.
        pub fn new() -> Self {
            Spare { start: AtomicPtr::new(null_mut()), size: AtomicUsize::new(0) }
        }
    }

    /// Keeps a region, if there is none yet.
    pub fn keep(&self, region: Region) {
        // Acquire: the one before was taken out.
        if self.size.compare_exchange(0, region.size, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            // Publishes the size.
            publish(&self.start, region.start.as_ptr());
        }
    }

    /// Takes the region out.
    pub fn take(&self) -> Option<Region> {
        let start = NonNull::new(self.start.swap(null_mut(), Ordering::Acquire))?;
        let size = self.size.load(Ordering::Relaxed);
        self.size.store(0, Ordering::Release);
        Some(Region { start, size })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
