//! A lock for what interrupt handlers use as well.

use crate::arch::interrupts;

/// A spin lock that is held with interrupts off: a handler that waited for the code it interrupts would wait for ever.
pub struct Lock<T>(spin::Mutex<T>);

impl<T> Lock<T> {
    pub const fn new(value: T) -> Self {
        Lock(spin::Mutex::new(value))
    }

    /// Runs `work` with the lock held.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        interrupts::off(|| work(&mut self.0.lock()))
    }
}
