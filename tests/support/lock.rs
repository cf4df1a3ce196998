//! A lock that needs no operating system.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use coreheap::port::sync::{AtomicBool, Ordering};

/// Data that one context at a time can use.
#[derive(Default)]
pub(crate) struct Lock<T> {
    taken: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: `taken` lets one context at a time at the data.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// An open lock.
    pub(crate) const fn new(data: T) -> Self {
        Lock { taken: AtomicBool::new(false), data: UnsafeCell::new(data) }
    }

    /// Waits until it is open, and takes it.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        while self.taken.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
            #[cfg(feature = "std")]
            std::thread::yield_now();
        }
        Guard(self)
    }
}

/// Gives access to the data, and opens the lock when dropped.
pub(crate) struct Guard<'a, T>(&'a Lock<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard took the lock.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard took the lock.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
