//! [`Contexts`]: who may use a heap that has one core.

use coreheap::atomic::{AtomicBool, Ordering::Relaxed};
use coreheap::{CoreLocal, SingleCore};

/// Who may use a heap: [`AnyContext`] or [`OneContext`].
#[diagnostic::on_unimplemented(
    message = "the target has no compare-and-swap: enable coreheap-bare's feature `critical-section`, or use an `ExclusiveHeap`"
)]
pub trait Contexts: Send + Sync + Sized + 'static {
    /// How the core heap is kept.
    type Cores: CoreLocal;
    /// A new rule.
    #[allow(clippy::declare_interior_mutable_const)] // Only ever moved into a heap.
    const NEW: Self;
    /// What goes with it.
    #[allow(clippy::declare_interior_mutable_const)] // As above.
    const CORES: Self::Cores;

    /// Runs one call into the heap.
    fn call<R>(&self, work: impl FnOnce() -> R) -> R;
}

/// The rules under which nobody is kept out, so that heaps are safe to make.
pub trait Open: Contexts {}

/// Any context may use the heap, interrupts as well, whatever they interrupt.
#[derive(Debug)]
pub struct AnyContext;

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
impl Contexts for AnyContext {
    type Cores = coreheap::NoMagazines;
    const NEW: Self = AnyContext;
    #[allow(clippy::declare_interior_mutable_const)] // See the trait.
    const CORES: Self::Cores = coreheap::NoMagazines::new();

    #[inline(always)]
    fn call<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

#[cfg(any(target_has_atomic = "ptr", feature = "critical-section"))]
impl Open for AnyContext {}

/// One context at a time uses the heap. A call that comes while another one is under way panics.
#[derive(Debug)]
pub struct OneContext {
    is_inside: AtomicBool,
}

impl Contexts for OneContext {
    type Cores = SingleCore;
    const NEW: Self = OneContext { is_inside: AtomicBool::new(false) };
    #[allow(clippy::declare_interior_mutable_const)] // See the trait.
    // SAFETY: `call` lets one context in at a time; whoever makes such a heap promises that contexts nest, so that it sees them.
    const CORES: Self::Cores = unsafe { SingleCore::new() };

    #[inline]
    fn call<R>(&self, work: impl FnOnce() -> R) -> R {
        // An interrupt between the load and the store has come to its end when the store is done.
        assert!(
            !self.is_inside.load(Relaxed),
            "an interrupt used a heap that was in use: coreheap-bare's `Coreheap` allows that"
        );
        self.is_inside.store(true, Relaxed);
        let result = work();
        self.is_inside.store(false, Relaxed);
        result
    }
}
