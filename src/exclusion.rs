//! Being alone in a heap that one context at a time may use.
//!
//! *Role*: the trait that says how contexts keep off a [`DenseHeap`](crate::DenseHeap), and [`OneContext`], [`Unshared`], for one core.
//!
//! *Invariant* X1: what two calls of [`Exclusion::alone`] run never overlaps.

use crate::sync::{AtomicBool, Ordering};

/// How contexts keep off each other.
///
/// # Safety
/// X1: `work` never runs while other work of the same value does. Who finds that it would panics, or waits until the other is done.
pub unsafe trait Exclusion {
    /// Runs `work`.
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R;
}

/// Nobody else is there: WebAssembly without threads, firmware without interrupts that allocate. Costs nothing, and checks nothing.
#[derive(Debug)]
pub struct Unshared(());

impl Unshared {
    /// For a heap that only ever one context uses.
    ///
    /// # Safety
    /// No call into the heap is made while another one is under way: no second thread or core, no interrupt or signal handler.
    pub const unsafe fn new() -> Self {
        Unshared(())
    }
}

// SAFETY: X1: the contract of `new`.
unsafe impl Exclusion for Unshared {
    #[inline(always)]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// One context at a time. A call that comes while another one is under way panics.
#[derive(Debug)]
pub struct OneContext {
    is_inside: AtomicBool,
}

impl OneContext {
    /// For all contexts: a second thread or core, or an interrupt, that comes in between panics.
    #[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
    pub const fn new() -> Self {
        OneContext { is_inside: AtomicBool::new(false) }
    }

    /// For contexts that nest, also where atomics can only load and store.
    ///
    /// # Safety
    /// Calls come from one core, and from contexts that nest: a context that comes in between, as an interrupt does, ends before the
    /// other goes on. So tasks that preempt each other in turns must not use it.
    pub const unsafe fn nested() -> Self {
        OneContext { is_inside: AtomicBool::new(false) }
    }
}

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
impl Default for OneContext {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: X1: who finds somebody inside does not run.
unsafe impl Exclusion for OneContext {
    #[inline]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        // Where this is a load and a store, an interrupt between them has come to its end when the store is done.
        let is_inside = self.is_inside.swap(true, Ordering::Acquire);
        assert!(!is_inside, "coreheap: a heap for one context at a time was used by two");
        let result = work();
        self.is_inside.store(false, Ordering::Release);
        result
    }
}
