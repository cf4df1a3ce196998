//! Atomics: `core`'s, our own where those can only load and store, or others when a model is being checked or a stress test runs.
//!
//! *Role*: every other file takes its atomics from here.
//!
//! *Concurrency*: changes of a page's words and of its state must be seen in one total order by everybody (see [`page`](crate::pages::page)); they use
//! functions named `_in_total_order`. All other orderings are written where they are used, with what they pair with.

use core::marker::PhantomData;

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        pub use loom::hint::spin_loop;
        pub use loom::sync::atomic::fence;
    } else {
        pub use core::hint::spin_loop;
        pub use core::sync::atomic::fence;
    }
}

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
    } else if #[cfg(all(test, preempted))] {
        pub use core::sync::atomic::Ordering;
        pub use preempted::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, preempt_from_now_on};
    } else if #[cfg(target_has_atomic = "ptr")] {
        pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
    } else {
        pub use core::sync::atomic::Ordering;
        pub use no_cas::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize};
    }
}

// loom's atomics cannot be made in a constant.
cfg_if::cfg_if! {
    if #[cfg(loom)] {
        macro_rules! const_but_in_models {
            ($(#[$doc:meta])* $vis:vis fn $($function:tt)*) => { $(#[$doc])* $vis fn $($function)* };
            ($(#[$doc:meta])* $vis:vis unsafe fn $($function:tt)*) => { $(#[$doc])* $vis unsafe fn $($function)* };
        }
        macro_rules! array_of {
            ($new:expr) => { core::array::from_fn(|_| $new) };
        }
    } else {
        /// A function that is `const`, but in models for loom.
        macro_rules! const_but_in_models {
            ($(#[$doc:meta])* $vis:vis fn $($function:tt)*) => { $(#[$doc])* $vis const fn $($function)* };
            ($(#[$doc:meta])* $vis:vis unsafe fn $($function:tt)*) => { $(#[$doc])* $vis const unsafe fn $($function)* };
        }
        /// An array of new values.
        macro_rules! array_of {
            ($new:expr) => { [const { $new }; _] };
        }
    }
}
pub(crate) use {array_of, const_but_in_models};

#[cfg(all(not(loom), any(test, not(target_has_atomic = "ptr"))))]
mod no_cas;

#[cfg(all(test, any(loom, miri)))]
pub mod model;

#[cfg(all(test, preempted))]
mod preempted;

pub mod total_order;

/// A part of what contexts may share where nothing comes between the halves of a read-modify-write. Elsewhere it is not `Sync`, and the compiler's
/// message says its name.
pub struct NeedsCompareAndSwapOrTheFeatureCriticalSection(PhantomData<Shared>);

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
type Shared = ();
#[cfg(not(any(target_has_atomic = "ptr", feature = "critical-section")))]
type Shared = *const ();

impl NeedsCompareAndSwapOrTheFeatureCriticalSection {
    #[allow(dead_code)] // In models.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// Bits in a bitmap word.
pub const WORD_BITS: usize = usize::BITS as usize;

/// A store, relaxed, into a word that only this context changes at the moment. Where a critical section must keep others' read-modify-writes off
/// other stores, this one goes without.
pub trait StoreAlone<T> {
    /// Writes.
    fn store_alone(&self, value: T);
}

#[cfg(any(loom, target_has_atomic = "ptr"))]
macro_rules! stores_alone {
    ($($name:ident $value:ty),*) => {
        $(impl StoreAlone<$value> for $name {
            #[inline(always)]
            fn store_alone(&self, value: $value) {
                self.store(value, Ordering::Relaxed);
            }
        })*
    };
}
#[cfg(any(loom, target_has_atomic = "ptr"))]
stores_alone!(AtomicBool bool, AtomicUsize usize);

#[cfg(any(loom, target_has_atomic = "ptr"))]
impl<T> StoreAlone<*mut T> for AtomicPtr<T> {
    #[inline(always)]
    fn store_alone(&self, value: *mut T) {
        self.store(value, Ordering::Relaxed);
    }
}

/// Sets `bits` in `word`; returns what was there. In one total order with the other `_in_total_order` functions.
#[inline]
pub fn set_in_total_order(word: &AtomicUsize, bits: usize) -> usize {
    total_order::change(Ordering::SeqCst, |order| word.fetch_or(bits, order))
}

/// Reads `word`, in one total order with the other `_in_total_order` functions.
#[inline]
pub fn load_in_total_order(word: &AtomicUsize) -> usize {
    total_order::look(Ordering::SeqCst, |order| word.load(order))
}

/// This side of a pair of fences whose other side is a barrier on all cores at once: keeps the compiler from moving a load before a
/// store, and leaves the processor to the barrier. Models and Miri have no such barrier, and both sides are full fences there.
#[inline(always)]
#[allow(dead_code)] // Where no core heaps are leased.
pub fn light_fence() {
    cfg_if::cfg_if! {
        if #[cfg(any(loom, miri))] {
            fence(Ordering::SeqCst);
        } else {
            core::sync::atomic::compiler_fence(Ordering::SeqCst);
        }
    }
}

/// Stores `value` with release order.
///
/// loom lets a plain store slip in between the two halves of another context's swap; so the model swaps as well.
#[inline(always)]
pub fn publish<T>(pointer: &AtomicPtr<T>, value: *mut T) {
    if cfg!(loom) {
        pointer.swap(value, Ordering::Release);
    } else {
        pointer.store(value, Ordering::Release);
    }
}

/// Keeps `T` on cache lines of its own, so that two cores never fight over one.
#[derive(Debug, Default)]
#[repr(align(128))]
#[allow(dead_code)] // Where one context uses the heap.
pub struct CachePadded<T>(pub T);
