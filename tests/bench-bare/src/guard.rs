//! [`Guarded`]: an allocator for one context, and what keeps others out.

use core::alloc::{GlobalAlloc, Layout};

use crate::peers::{Peer, Region};

/// What keeps other contexts out.
pub trait Guard {
    /// Nobody is inside.
    #[allow(clippy::declare_interior_mutable_const)] // Only ever moved into an allocator.
    const NEW: Self;
    /// Runs `work` alone.
    fn with<R>(&self, work: impl FnOnce() -> R) -> R;
}

/// Nothing: there is one context.
pub struct Unguarded;

impl Guard for Unguarded {
    const NEW: Self = Unguarded;

    #[inline(always)]
    fn with<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// Interrupts are masked on the only core, by the `critical-section` crate.
pub struct Masked;

impl Guard for Masked {
    const NEW: Self = Masked;

    #[inline(always)]
    fn with<R>(&self, work: impl FnOnce() -> R) -> R {
        critical_section::with(|_| work())
    }
}

/// A lock of the crate `spin`.
#[cfg(target_has_atomic = "ptr")]
pub struct Locked<L>(L);

/// Whoever comes first gets it.
#[cfg(target_has_atomic = "ptr")]
pub type Spin = Locked<spin::mutex::SpinMutex<()>>;

/// Cores get it in the order in which they came.
#[cfg(target_has_atomic = "ptr")]
pub type Ticket = Locked<spin::mutex::TicketMutex<()>>;

#[cfg(target_has_atomic = "ptr")]
impl<L: lock_api::RawMutex> Guard for Locked<L> {
    #[allow(clippy::declare_interior_mutable_const)] // See the trait.
    const NEW: Self = Locked(L::INIT);

    #[inline(always)]
    fn with<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.lock();
        let result = work();
        // SAFETY: it was locked above.
        unsafe { self.0.unlock() };
        result
    }
}

/// An allocator, and a guard around each call.
pub struct Guarded<A, G> {
    allocator: A,
    guard: G,
}

// SAFETY: the guard lets one context in at a time; whoever chooses `Unguarded` has one.
unsafe impl<A, G> Sync for Guarded<A, G> {}

impl<A: Peer, G: Guard> Peer for Guarded<A, G> {
    #[allow(clippy::declare_interior_mutable_const)] // See the trait.
    const NEW: Self = Guarded { allocator: A::NEW, guard: G::NEW };

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.allocator.take(region) }
    }
}

// SAFETY: the allocator's.
unsafe impl<A: GlobalAlloc, G: Guard> GlobalAlloc for Guarded<A, G> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.guard.with(|| unsafe { self.allocator.alloc(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.guard.with(|| unsafe { self.allocator.dealloc(block, layout) });
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.guard.with(|| unsafe { self.allocator.realloc(block, layout, new_size) })
    }
}
