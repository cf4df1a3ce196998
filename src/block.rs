//! A block on its way between the program, a magazine and a page.
//!
//! *Role*: the owned value that those three hand to each other. Made from a claimed bit ([`page`](crate::page)), from a
//! magazine's slot, or from the pointer a program gives back; consumed by the same three.
//!
//! *Invariant* K1: for each block outside a page's bitmap there is at most one `Block`, one filled magazine slot, or one
//! program that holds its pointer.

use core::num::NonZeroUsize;

/// The address of a block that this context owns. Dropping it leaks the block.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped block is lost until its page is released"]
pub struct Block(NonZeroUsize);

impl Block {
    /// Takes a block over.
    ///
    /// # Safety
    /// The caller owns the block at this address and uses it no more (K1).
    #[inline(always)]
    pub unsafe fn from_address(address: NonZeroUsize) -> Self {
        Block(address)
    }

    /// Where the block starts.
    #[inline(always)]
    pub fn address(&self) -> usize {
        self.0.get()
    }
}
