//! What survives a `fork`, and what does not.
//!
//! *Role*: two of the ways of being alone on a core heap ([`marks`](crate::marks), [`rseq`](crate::rseq)) mark it with a [`Holder`]. The child of a `fork` is a copy of the whole process with one thread only, so a mark that another thread had set
//! would stay for ever; a mark says in which process it was set, and one from a parent is void.
//!
//! *Invariants*
//! - F1: `GENERATION` changes only in the child of a `fork`, before anything else runs there.
//! - F2: a `Holder` has at most one live [`Held`] made in this process.
//!
//! *Limits*: a process image made by the raw system call, past the C library, keeps the parent's marks: the core heaps that were in
//! use at that moment stay out of use there, which costs speed and what is in their magazines, nothing else. `fork` in a signal
//! handler is not supported where it interrupts an allocation: the C library does not support it either.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Which process this is, counted along the line of forks. Never 0.
static GENERATION: AtomicU32 = AtomicU32::new(1);

/// The generation of this process.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Makes sure that forks are counted from now on. Called on slow paths, before the first mark is set.
pub fn watch() {
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

/// A mark that at most one context has at a time. All zero: nobody has it.
#[derive(Debug, Default)]
pub struct Holder(AtomicU32);

/// The mark, until it is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    holder: &'a Holder,
    /// Whether it was left over from before a `fork`: what it stood for may be half done.
    #[allow(dead_code, reason = "only rseq takes core heaps out of their slots")]
    pub was_left: bool,
}

impl Holder {
    /// A mark that nobody has.
    pub const fn new() -> Self {
        Holder(AtomicU32::new(0))
    }

    /// Takes the mark, if nobody in this process has it. One atomic operation.
    #[inline(always)]
    pub fn take(&self) -> Option<Held<'_>> {
        let generation = generation();
        // Acquire pairs with the Release in `drop`.
        match self.0.compare_exchange(0, generation, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(Held { holder: self, was_left: false }),
            Err(found) => self.take_left(found, generation),
        }
    }

    #[cold]
    fn take_left(&self, found: u32, generation: u32) -> Option<Held<'_>> {
        // F1: who set another generation's mark is a thread of another process.
        let left = found != generation && found != 0;
        let taken = left && self.0.compare_exchange(found, generation, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Made only when it is taken: dropping one gives the mark back.
        taken.then(|| Held { holder: self, was_left: true })
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.holder.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once_and_again_in_the_next_generation() {
        let holder = Holder::new();
        let held = holder.take().unwrap();
        assert!(!held.was_left);
        // A refusal changes nothing.
        assert!(holder.take().is_none() && holder.take().is_none());
        drop(held);
        core::mem::forget(holder.take().unwrap());
        assert!(holder.take().is_none() && holder.take().is_none());
        // As if a parent process had left it.
        holder.0.store(generation().wrapping_add(7), Ordering::Relaxed);
        let held = holder.take().unwrap();
        assert!(held.was_left);
        assert!(holder.take().is_none());
        drop(held);
        assert!(!holder.take().unwrap().was_left);
    }
}
