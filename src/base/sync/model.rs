//! What models run on: loom, which tries every order of their steps, or Miri, which picks some by its seed and hands out old values as weak
//! memory does. Miri's are all orders that the language allows, loom's are all of those that it knows; so both.
//!
//! loom notes the last access of an atomic only. So it misses orders where one thread looks, and another looks and changes: in a model the thread
//! that changes goes first, which is the one that spawns the others.

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        pub use loom::cell::UnsafeCell;
        pub use loom::model as explore;
        pub use loom::sync::{Arc, atomic::fence};
        pub use loom::{thread, thread_local};

        /// Tries every order of a model with up to so many preemptions, where all orders would take hours.
        pub fn explore_up_to(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(preemptions);
            builder.check(model);
        }
    } else {
        pub use core::sync::atomic::fence;
        pub use std::sync::Arc;
        pub use std::{thread, thread_local};

        /// Runs a model in one order, or in as many as the variable says: each time the scheduler picks another one. That is cheaper than as many
        /// runs of all tests, of which the harness takes the greater part.
        pub fn explore(model: impl Fn()) {
            let orders = std::env::var("MODEL_ORDERS").map_or(1, |orders| orders.parse().expect("a number"));
            (0..orders).for_each(|_| model());
        }

        /// As `explore`.
        pub fn explore_up_to(_: usize, model: impl Fn()) {
            explore(model);
        }

        /// As loom's: Miri itself sees who reads what somebody writes.
        pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

        // SAFETY: that it is used by one thread at a time is what models check.
        unsafe impl<T: Send> Sync for UnsafeCell<T> {}

        impl<T> UnsafeCell<T> {
            pub const fn new(value: T) -> Self {
                UnsafeCell(core::cell::UnsafeCell::new(value))
            }

            pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
                read(self.0.get())
            }

            pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
                write(self.0.get())
            }
        }
    }
}
