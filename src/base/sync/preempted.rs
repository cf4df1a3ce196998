//! Atomics before each use of which the thread may lose its processor, for a stress test: what a preempted context has begun is what others see
//! most of the time.

#![allow(missing_docs)] // As `core`'s.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{self, Ordering};
use std::thread_local;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Lets this thread be preempted from now on, in an order of its own for each seed that is not 0.
pub fn preempt_from_now_on(seed: u64) {
    STATE.set(seed);
}

/// One use in eight gives the processor up, most of these for a moment, some for long.
fn preempt() {
    let mut state = STATE.get();
    if state == 0 {
        return;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    let times = match state >> 32 & 0xff {
        0 => 30,
        1..32 => 1,
        _ => 0,
    };
    (0..times).for_each(|_| std::thread::yield_now());
}

macro_rules! preempted {
    ($($name:ident: $value:ty),* $(,)?) => { $(
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(atomic::$name);

        impl $name {
            pub const fn new(value: $value) -> Self {
                $name(atomic::$name::new(value))
            }

            // Traits of this crate have methods of these names.
            pub fn load(&self, order: Ordering) -> $value {
                (**self).load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                (**self).store(value, order);
            }

            #[allow(dead_code)] // In tests.
            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }
        }

        impl From<$value> for $name {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }

        impl Deref for $name {
            type Target = atomic::$name;

            fn deref(&self) -> &atomic::$name {
                preempt();
                &self.0
            }
        }
    )* };
}

preempted! { AtomicBool: bool, AtomicU8: u8, AtomicU16: u16, AtomicU32: u32, AtomicUsize: usize }

#[derive(Debug)]
#[repr(transparent)]
pub struct AtomicPtr<T>(atomic::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub const fn new(value: *mut T) -> Self {
        AtomicPtr(atomic::AtomicPtr::new(value))
    }
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(ptr::null_mut())
    }
}

impl<T> Deref for AtomicPtr<T> {
    type Target = atomic::AtomicPtr<T>;

    fn deref(&self) -> &atomic::AtomicPtr<T> {
        preempt();
        &self.0
    }
}
