//! Being alone in a heap that one context at a time may use.
//!
//! *Role*: the trait that says how contexts keep off a [`HeaderlessHeap`](crate::HeaderlessHeap) or a [`DenseHeap`](crate::DenseHeap), three that do:
//! [`OneContext`], [`NestedContexts`], [`Unshared`]; and [`Guarded`], the engine behind one.
//!
//! *Invariant* X1: while [`Exclusion::alone`] runs the work of one context, it runs no work of another. The other half is the heaps': what they run there is
//! their own code, and calls nobody else's, which might come back into the heap: no function of the program's, and of the page source
//! [`pointer_at`](crate::PageSource::pointer_at) alone.

use core::cell::UnsafeCell;
use core::sync::atomic::compiler_fence;

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
use crate::base::inside::Inside;
use crate::base::misuse::no_unwind;
use crate::base::sync::{AtomicBool, Ordering, StoreAlone};

/// How contexts keep off each other.
///
/// # Safety
/// X1: `work` never runs while work of the same value does that another context has begun: a thread, a core, an interrupt. Who finds that it would
/// panics, or waits until the other is done. After a panic of `work` nobody may run any more.
///
/// `work` may come back to the same value only where the implementation allows that: who relies on X1 calls nobody else's code in `work`.
pub unsafe trait Exclusion {
    /// Runs `work`.
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R;
}

/// What is only used by a context that is alone, as `X` says.
#[repr(C)] // As in the heap: what a fast path reaches is in front.
pub struct Guarded<T, X> {
    inner: UnsafeCell<T>,
    pub(super) exclusion: X,
}

// SAFETY: what is inside is only reached in `Exclusion::alone` (X1).
unsafe impl<T: Send, X: Exclusion + Sync> Sync for Guarded<T, X> {}

impl<T, X: Exclusion> Guarded<T, X> {
    pub const fn new(inner: T, exclusion: X) -> Self {
        Guarded { inner: UnsafeCell::new(inner), exclusion }
    }

    /// Runs `work`, which calls nobody else's code, and so does not come back here.
    #[inline(always)]
    pub fn alone<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: X1, both halves: no other context has it now, and this one has it once.
        self.exclusion.alone(|| work(unsafe { &mut *self.inner.get() }))
    }
}

/// Nobody else is there: WebAssembly without threads, firmware without interrupts that allocate. Costs nothing, and checks nothing. A panic inside ends the
/// process.
#[derive(Debug)]
pub struct Unshared(());

impl Unshared {
    /// For a heap that only ever one context uses.
    ///
    /// # Safety
    /// No other context calls the heap while a call is under way: no second thread or core, no interrupt or signal handler.
    pub const unsafe fn new() -> Self {
        Unshared(())
    }
}

// SAFETY: X1: the contract of `new`.
unsafe impl Exclusion for Unshared {
    #[inline(always)]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        no_unwind(work)
    }
}

/// One context at a time, of one core. A call that interrupts another one panics. All that the target needs is loads and stores.
#[derive(Debug)]
pub struct NestedContexts {
    is_inside: AtomicBool,
}

impl NestedContexts {
    /// For contexts that nest.
    ///
    /// # Safety
    /// Calls come from one core, and from contexts that nest: a context that comes in between, as an interrupt does, ends before the
    /// other goes on. So tasks that preempt each other in turns must not use it.
    pub const unsafe fn new() -> Self {
        NestedContexts { is_inside: AtomicBool::new(false) }
    }
}

// SAFETY: X1: who finds somebody inside does not run. An interrupt between the load and the store has come to its end when the store is done.
unsafe impl Exclusion for NestedContexts {
    #[inline(always)]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        if self.is_inside.load(Ordering::Relaxed) {
            used_by_two();
        }
        self.is_inside.store_alone(true);
        // One core sees its own loads and stores in their order; only the compiler must keep it.
        compiler_fence(Ordering::SeqCst);
        let result = work();
        compiler_fence(Ordering::SeqCst);
        self.is_inside.store_alone(false);
        result
    }
}

/// One context at a time: a second thread or core, or an interrupt, that comes in between panics.
#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
#[derive(Debug, Default)]
pub struct OneContext {
    inside: Inside,
}

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
impl OneContext {
    /// For all contexts.
    pub const fn new() -> Self {
        OneContext { inside: Inside::new() }
    }
}

// SAFETY: X1: Y1: who finds somebody inside does not run.
#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
unsafe impl Exclusion for OneContext {
    #[inline]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        if !self.inside.enter() {
            used_by_two();
        }
        let result = work();
        self.inside.leave();
        result
    }
}

#[cold]
#[inline(never)]
fn used_by_two() -> ! {
    panic!("coreheap: a heap for one context at a time was used by two")
}

#[cfg(all(test, not(loom)))]
mod tests;
