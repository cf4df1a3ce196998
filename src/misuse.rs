//! What a program can do wrong with a pointer, and the one answer to it.
//!
//! *Role*: every check in the heap reports here. A debug build panics; a release build leaves the pointer alone and counts.

use crate::events::event;
use crate::sync::{AtomicUsize, Ordering};

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

/// How many mistakes were seen.
pub(crate) struct Misuses(AtomicUsize);

impl Misuses {
    pub const fn new() -> Self {
        Misuses(AtomicUsize::new(0))
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
