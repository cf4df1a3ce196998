//! Counts forks: which process of a line of forks this is.
//!
//! *Invariant* F1: `GENERATION` changes only in the child of a `fork`, before anything else runs there but handlers for forks that the program
//! registered earlier. To those the parent's marks are live ones: they go without these core heaps.
//!
//! *Limits*: a thread that such a handler starts must not use the heap before `fork` has returned: its marks would be taken for the parent's.
//! A process image made by the raw system call, past the C library, keeps the parent's generation, and so its marks: the core heaps that were
//! in use at that moment stay out of use there, which costs speed and what is in their magazines, nothing else. `fork` in a signal handler is
//! not supported where it interrupts an allocation: the C library does not support it either.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Which process this is, counted along the line of forks. Never 0.
static GENERATION: AtomicU32 = AtomicU32::new(1);

/// The generation of this process.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Makes sure that forks are counted from now on. Called on slow paths, before the first mark is set.
pub fn watch_forks() {
    static WATCHES: AtomicBool = AtomicBool::new(false);
    // Set first: registering may allocate and so come here again.
    if !WATCHES.load(Ordering::Relaxed) && !WATCHES.swap(true, Ordering::Relaxed) && cfg!(not(miri)) {
        // SAFETY: the handler only counts. Should there be no memory for it, the limit for raw forks holds for all forks.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    }
}

extern "C" fn count_fork() {
    let next = generation().wrapping_add(1);
    GENERATION.store(if next == 0 { 1 } else { next }, Ordering::Relaxed);
}
