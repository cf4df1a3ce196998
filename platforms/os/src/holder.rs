//! [`Holder`]: a mark that at most one context has at a time, and that no `fork` can leave behind.
//!
//! *Role*: two of the ways of being alone on a core heap ([`marks`](crate::marks), [`rseq`](crate::rseq)) mark it with a `Holder`. The
//! child of a `fork` is a copy of the whole process with one thread only, so a mark that another thread had set would stay for ever; a mark
//! says in which process it was set ([`generation`]), and one from a parent is void.
//!
//! *Invariant* F2: a `Holder` has at most one live [`Held`] made in this process.

use core::sync::atomic::{AtomicU32, Ordering};

use coreheap::Geometry;
use coreheap::port::{CoreHeap, CoreSlot, Mark};

use crate::system::generation;

/// A mark that at most one context has at a time. All zero: nobody has it.
#[derive(Debug, Default)]
pub struct Holder(AtomicU32);

/// The mark, until it is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    holder: &'a Holder,
    /// Whether it was left over from before a `fork`: what it stood for may be half done.
    #[allow(dead_code, reason = "only sequences have a core heap out")]
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

    /// As if a thread of a parent process had it.
    #[cfg(all(test, target_os = "linux"))]
    #[allow(dead_code, reason = "asked for where there are sequences")]
    pub fn leave(&self) {
        self.0.store(generation().wrapping_add(7), Ordering::Relaxed);
    }

    #[cold]
    fn take_left(&self, found: u32, generation: u32) -> Option<Held<'_>> {
        // Who set another generation's mark is a thread of another process.
        let left = found != generation && found != 0;
        let taken = left && self.0.compare_exchange(found, generation, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Made only when it is taken: dropping one gives the mark back.
        taken.then(|| Held { holder: self, was_left: true })
    }
}

// SAFETY: F2; the Acquire in `take` pairs with the Release in `drop`.
unsafe impl Mark for Holder {
    #[allow(clippy::declare_interior_mutable_const, reason = "each use makes one")]
    const NEW: Self = Holder::new();

    #[inline(always)]
    unsafe fn take<'a, G: Geometry>(&'a self, slot: &'a CoreSlot) -> Option<&'a CoreHeap<G>> {
        // SAFETY: the caller names the geometry.
        let heap = unsafe { slot.heap::<G>() }?;
        // Dropped in `give_back`.
        core::mem::forget(self.take()?);
        Some(heap)
    }

    #[inline(always)]
    unsafe fn give_back<G: Geometry>(&self, _: &CoreHeap<G>) {
        drop(Held { holder: self, was_left: false });
    }

    /// Who looks into the slot has found it already.
    unsafe fn open<G: Geometry>(&self, _: &CoreHeap<G>) {}
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
