//! Atomics for targets that can only load and store: a read-modify-write is a load and a store that nothing comes between.
//!
//! *Role*: what [`sync`](crate::base::sync) gives to all other files where `target_has_atomic` says no. The stretch is a few instructions long and
//! the same for every operation. With the feature `critical-section` interrupts (and other cores) are kept off meanwhile. So they are from a
//! plain store: between the two halves of another core's swap it would be lost. Without the feature nobody is kept off: then a [`Heap`](crate::Heap) has only [`SingleCore`](crate::SingleCore), whose contract leaves nobody who could come between, and a
//! [`SmallHeap`](crate::SmallHeap) is for one context at a time.
//!
//! `core` has no atomics at all for some of these targets (ARMv4T, MIPS I), and stable Rust cannot tell which, so all of them get a [`Place`].

#![allow(dead_code)] // Not every type is used in every way.

use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering, Ordering::Relaxed};

/// Runs `work` with nothing in between.
#[inline(always)]
fn undisturbed<R>(work: impl FnOnce() -> R) -> R {
    cfg_if::cfg_if! {
        if #[cfg(any(feature = "critical-section", all(test, not(miri))))] {
            // Orders memory on both sides, so the accesses inside are relaxed.
            critical_section::with(|_| work())
        } else {
            work()
        }
    }
}

/// A word of memory or less. Volatile, and so one load or store each time, which an interrupt comes before or after.
#[derive(Debug)]
#[repr(transparent)]
struct Place<T>(UnsafeCell<T>);

// SAFETY: a word is read and written as a whole.
unsafe impl<T> Send for Place<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Place<T> {}

impl<T: Copy> Place<T> {
    const fn new(value: T) -> Self {
        Place(UnsafeCell::new(value))
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> T {
        // SAFETY: its own memory, in which there always is a value.
        let value = unsafe { self.0.get().read_volatile() };
        fence(order);
        value
    }

    #[inline(always)]
    fn store(&self, value: T, order: Ordering) {
        fence(order);
        // SAFETY: as in `load`.
        unsafe { self.0.get().write_volatile(value) };
    }
}

/// After a load, or before a store: other accesses stay on their side of it. These processors do not change the order of accesses, and the
/// compiler does not change that of volatile ones.
#[inline(always)]
fn fence(order: Ordering) {
    if order == Relaxed {
        return;
    }
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// One type of atomic, and what it holds.
macro_rules! atomic {
    ($name:ident $(<$parameter:ident>)?, $value:ty) => {
        /// As `core`'s, as far as it is needed.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? (Place<$value>);

        impl $(<$parameter>)? Default for $name $(<$parameter>)? {
            fn default() -> Self {
                Self::new(<$value>::default())
            }
        }

        impl $(<$parameter>)? $name $(<$parameter>)? {
            /// Holds `value`.
            pub const fn new(value: $value) -> Self {
                $name(Place::new(value))
            }

            /// Reads.
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            /// Writes.
            #[inline(always)]
            pub fn store(&self, value: $value, _: Ordering) {
                undisturbed(|| self.0.store(value, Relaxed));
            }

            /// Writes, and returns what was there.
            #[inline]
            pub fn swap(&self, value: $value, _: Ordering) -> $value {
                self.replace(|_| value)
            }

            /// Writes if `current` is there.
            #[inline]
            pub fn compare_exchange(&self, current: $value, new: $value, _: Ordering, _: Ordering) -> Result<$value, $value> {
                undisturbed(|| {
                    let old = self.0.load(Relaxed);
                    if old == current {
                        self.0.store(new, Relaxed);
                        Ok(old)
                    } else {
                        Err(old)
                    }
                })
            }

            /// The same.
            #[inline]
            pub fn compare_exchange_weak(&self, current: $value, new: $value, _: Ordering, _: Ordering) -> Result<$value, $value> {
                self.compare_exchange(current, new, Relaxed, Relaxed)
            }

            #[inline(always)]
            fn replace(&self, new: impl FnOnce($value) -> $value) -> $value {
                undisturbed(|| {
                    let old = self.0.load(Relaxed);
                    self.0.store(new(old), Relaxed);
                    old
                })
            }
        }
    };
}

/// What numbers can do besides.
macro_rules! arithmetic {
    ($name:ident, $value:ty: $($function:ident $compute:expr),* $(,)?) => {
        impl $name {
            $(
                /// Changes the number; returns what was there.
                #[inline]
                pub fn $function(&self, operand: $value, _: Ordering) -> $value {
                    let compute: fn($value, $value) -> $value = $compute;
                    self.replace(|old| compute(old, operand))
                }
            )*

            /// Writes what `change` makes of what is there, unless that is `None`.
            #[inline]
            pub fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                undisturbed(|| {
                    let old = self.0.load(Relaxed);
                    change(old).map(|new| self.0.store(new, Relaxed)).map(|()| old).ok_or(old)
                })
            }
        }
    };
}

/// Stores that nobody need be kept off from.
macro_rules! stores_alone {
    ($name:ident, $value:ty) => {
        impl super::StoreAlone<$value> for $name {
            #[inline(always)]
            fn store_alone(&self, value: $value) {
                self.0.store(value, Relaxed);
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);
        arithmetic!($name, $value:
            fetch_or |old, bits| old | bits,
            fetch_and |old, bits| old & bits,
            fetch_add |old, more| old.wrapping_add(more),
            fetch_sub |old, less| old.wrapping_sub(less),
            fetch_min |old, other| old.min(other),
            fetch_max |old, other| old.max(other),
        );
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);
number!(AtomicU8, u8);
number!(AtomicU16, u16);
number!(AtomicU32, u32);
number!(AtomicUsize, usize);
stores_alone!(AtomicBool, bool);
stores_alone!(AtomicUsize, usize);

impl<T> super::StoreAlone<*mut T> for AtomicPtr<T> {
    #[inline(always)]
    fn store_alone(&self, value: *mut T) {
        self.0.store(value, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic;

    #[test]
    fn operations_are_those_of_core() {
        let (ours, cores) = (AtomicUsize::new(6), atomic::AtomicUsize::new(6));
        assert_eq!(ours.fetch_or(9, Relaxed), cores.fetch_or(9, Relaxed));
        assert_eq!(ours.fetch_and(13, Relaxed), cores.fetch_and(13, Relaxed));
        assert_eq!(ours.fetch_add(usize::MAX, Relaxed), cores.fetch_add(usize::MAX, Relaxed));
        assert_eq!(ours.fetch_sub(20, Relaxed), cores.fetch_sub(20, Relaxed));
        assert_eq!(ours.fetch_min(7, Relaxed), cores.fetch_min(7, Relaxed));
        assert_eq!(ours.fetch_max(9, Relaxed), cores.fetch_max(9, Relaxed));
        assert_eq!(ours.swap(3, Relaxed), cores.swap(3, Relaxed));
        assert_eq!(ours.compare_exchange(4, 5, Relaxed, Relaxed), cores.compare_exchange(4, 5, Relaxed, Relaxed));
        assert_eq!(ours.compare_exchange_weak(3, 5, Relaxed, Relaxed), Ok(3));
        let halve = |old: usize| (old > 3).then_some(old / 2);
        assert_eq!((ours.fetch_update(Relaxed, Relaxed, halve), ours.load(Relaxed)), (Ok(5), 2));
        assert_eq!((ours.fetch_update(Relaxed, Relaxed, halve), ours.load(Relaxed)), (Err(2), 2));
        let mut places = [1, 2];
        let pointer = AtomicPtr::new(&raw mut places[0]);
        assert_eq!(pointer.swap(&raw mut places[1], Relaxed), &raw mut places[0]);
        let flag = AtomicBool::new(false);
        assert!(!flag.swap(true, Relaxed) && flag.load(Relaxed));
    }

    #[test]
    #[cfg_attr(miri, ignore = "there is no critical section")]
    fn a_store_beside_a_change_is_not_lost() {
        // So a core heap is given back while another core tries to take it, and a flag is put down.
        let word = AtomicUsize::new(1);
        let is_coming = atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let change = |old| {
                scope.spawn(|| {
                    is_coming.store(true, Relaxed);
                    word.store(7, Relaxed);
                });
                while !is_coming.load(Relaxed) {
                    std::thread::yield_now();
                }
                std::thread::sleep(core::time::Duration::from_millis(20));
                Some(old + 1)
            };
            assert_eq!(word.fetch_update(Relaxed, Relaxed, change), Ok(1));
        });
        assert_eq!(word.load(Relaxed), 7, "the store came between the halves of the change");
    }
}
