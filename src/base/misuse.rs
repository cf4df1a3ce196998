//! What a program can do wrong with a pointer, and the one answer to it.
//!
//! *Role*: every check in the heap reports here. A debug build panics; a release build leaves the pointer alone and counts. Where nothing may unwind,
//! a panic ends the process: [`no_unwind`].

use crate::base::events::event;
use crate::base::sync::{AtomicUsize, Ordering, const_but_in_models};

/// A mistake in a call that frees or resizes a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Misuse {
    /// No block of this heap starts at the address.
    Foreign,
    /// The block is of another size class than the layout says.
    WrongLayout,
    /// The block is free already.
    DoubleFree,
}

/// Ends the process when it is dropped by a panic: a panic during a panic.
struct NoUnwind;

impl Drop for NoUnwind {
    fn drop(&mut self) {
        panic!("coreheap: the program misused its allocator");
    }
}

/// Runs `work`, out of which nothing unwinds: a panic ends the process, in any build. For a port that has its own `GlobalAlloc`.
#[inline(always)]
pub fn no_unwind<R>(work: impl FnOnce() -> R) -> R {
    let guard = NoUnwind;
    let result = work();
    core::mem::forget(guard);
    result
}

/// [`no_unwind`] in debug builds, for what can panic there only.
#[inline(always)]
pub(crate) fn no_unwind_in_debug<R>(work: impl FnOnce() -> R) -> R {
    if cfg!(debug_assertions) { no_unwind(work) } else { work() }
}

/// [`no_unwind`] in release builds, for what `GlobalAlloc` calls in both: in debug builds it has a guard of its own, and whoever calls a heap by
/// its own functions sees a mistake as a panic.
#[inline(always)]
pub(crate) fn no_unwind_in_release<R>(work: impl FnOnce() -> R) -> R {
    if cfg!(debug_assertions) { work() } else { no_unwind(work) }
}

/// How many mistakes were seen.
pub(crate) struct Misuses(AtomicUsize);

impl Misuses {
    const_but_in_models! {
        pub fn new() -> Self {
            Misuses(AtomicUsize::new(0))
        }
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    #[cold]
    #[inline(never)]
    pub fn report(&self, misuse: Misuse, address: usize) {
        self.0.fetch_add(1, Ordering::Relaxed);
        event!("misuse: {}, at {=usize:#x}", misuse, address);
        if cfg!(debug_assertions) {
            match misuse {
                Misuse::Foreign => panic!("coreheap: {address:#x} is not a block of this heap, or was freed before"),
                Misuse::WrongLayout => panic!("coreheap: the block at {address:#x} was not allocated with this layout"),
                Misuse::DoubleFree => panic!("coreheap: double free of the block at {address:#x}"),
            }
        }
    }
}
