//! Atomics: `core`'s, our own where those can only load and store, or `loom`'s when a model is being checked.
//!
//! *Role*: every other file takes its atomics from here.
//!
//! *Concurrency*: two pairs of operations must be seen in one total order by everybody (a page's words against its
//! `held` flag, see [`page`](crate::page)); they use the `_in_total_order` functions below. All other orderings are written
//! where they are used, with what they pair with.

use core::marker::PhantomData;

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
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
            ($(#[$doc:meta])* pub $($function:tt)*) => { $(#[$doc])* pub $($function)* };
        }
        macro_rules! array_of {
            ($new:expr) => { core::array::from_fn(|_| $new) };
        }
    } else {
        /// A function that is `const`, but in models for loom.
        macro_rules! const_but_in_models {
            ($(#[$doc:meta])* pub $($function:tt)*) => { $(#[$doc])* pub const $($function)* };
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

/// Sets `bits` in `word`; returns what was there. In one total order with the other `_in_total_order` functions.
#[inline]
pub fn set_in_total_order(word: &AtomicUsize, bits: usize) -> usize {
    model_fence();
    let old = word.fetch_or(bits, Ordering::SeqCst);
    model_fence();
    old
}

/// Reads `word`, in one total order with the other `_in_total_order` functions.
#[inline]
pub fn load_in_total_order(word: &AtomicUsize) -> usize {
    model_fence();
    word.load(Ordering::SeqCst)
}

/// Reads `flag`, in one total order with the other `_in_total_order` functions.
#[inline]
pub fn load_flag_in_total_order(flag: &AtomicBool) -> bool {
    model_fence();
    flag.load(Ordering::SeqCst)
}

/// Writes `flag`, in one total order with the other `_in_total_order` functions.
///
/// A swap, which x86 makes of a store anyway. QEMU on x86 lets the load after an AArch64 store pass it, and kernels do run there.
#[inline]
pub fn store_flag_in_total_order(flag: &AtomicBool, value: bool) {
    flag.swap(value, Ordering::SeqCst);
    model_fence();
}

/// This side of a pair of fences whose other side is a barrier on all cores at once: keeps the compiler from moving a load before a
/// store, and leaves the processor to the barrier. Models and Miri have no such barrier, and both sides are full fences there.
#[inline(always)]
#[allow(dead_code)] // Where no core heaps are leased.
pub fn light_fence() {
    cfg_if::cfg_if! {
        if #[cfg(loom)] {
            loom::sync::atomic::fence(Ordering::SeqCst);
        } else if #[cfg(miri)] {
            core::sync::atomic::fence(Ordering::SeqCst);
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

/// loom treats sequentially consistent accesses as acquire and release, and Miri lets such a load pass such a write to see an older
/// one of another order, which C++20 forbids; the fences of both are exact, so they get those.
#[inline(always)]
fn model_fence() {
    cfg_if::cfg_if! {
        if #[cfg(loom)] {
            loom::sync::atomic::fence(Ordering::SeqCst);
        } else if #[cfg(miri)] {
            core::sync::atomic::fence(Ordering::SeqCst);
        }
    }
}

/// Keeps `T` on cache lines of its own, so that two cores never fight over one.
#[derive(Debug, Default)]
#[repr(align(128))]
#[allow(dead_code)] // Where one context uses the heap.
pub struct CachePadded<T>(pub T);
