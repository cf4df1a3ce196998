//! Blocks on their way between the program, a magazine and a page.
//!
//! *Role*: the owned value that those three hand to each other. Made from a claimed bit ([`page`](crate::pages::page)), from a
//! magazine's slot, or from the pointer a program gives back; consumed by the same three.
//!
//! *Invariant* K1: for each block outside a page's bitmap there is at most one `Block`, one filled magazine slot, or one
//! program that holds its pointer.

use core::mem::MaybeUninit;
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

/// A few blocks of one size class that this context owns: what a refill or a flush has in its hands.
#[must_use = "blocks inside are lost until their pages are released"]
pub struct Blocks {
    /// The first `count` are addresses of owned blocks.
    addresses: [MaybeUninit<usize>; Blocks::CAPACITY],
    count: usize,
}

impl Blocks {
    /// Most blocks that fit.
    pub const CAPACITY: usize = 64;

    /// No blocks.
    #[inline]
    pub const fn new() -> Self {
        // As a value of the struct, the whole array would be written.
        let mut blocks = MaybeUninit::<Self>::uninit();
        // SAFETY: its own field; the other one need not be written.
        unsafe {
            (&raw mut (*blocks.as_mut_ptr()).count).write(0);
            blocks.assume_init()
        }
    }

    /// Their addresses.
    #[inline]
    pub fn addresses(&self) -> &[usize] {
        // SAFETY: the first `count` are written.
        unsafe { core::slice::from_raw_parts(self.addresses.as_ptr().cast(), self.count) }
    }

    /// Adds a block; there is room.
    #[inline]
    pub fn add(&mut self, block: Block) {
        self.addresses[self.count].write(block.address());
        self.count += 1;
    }

    /// Takes the block out that was added last.
    #[inline]
    pub fn remove(&mut self) -> Option<Block> {
        let address = *self.addresses().last()?;
        self.count -= 1;
        // SAFETY: K1: it was in here, and is not any more; no block lies at 0.
        NonZeroUsize::new(address).map(|address| unsafe { Block::from_address(address) })
    }

    /// Takes those blocks out for which `take` is true.
    #[inline]
    pub fn take_if(&mut self, mut take: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for index in 0..self.count {
            // SAFETY: the first `count` are written.
            let address = unsafe { self.addresses[index].assume_init() };
            if !take(address) {
                self.addresses[kept].write(address);
                kept += 1;
            }
        }
        self.count = kept;
    }

    /// Where the addresses lie, for code that moves several at once: room for [`CAPACITY`](Self::CAPACITY).
    pub fn as_mut_ptr(&mut self) -> *mut usize {
        self.addresses.as_mut_ptr().cast()
    }

    /// Says how many blocks are inside now.
    ///
    /// # Safety
    /// The first `count` addresses are those of blocks that the caller owned and put in, or were in before.
    pub unsafe fn set_count(&mut self, count: usize) {
        debug_assert!(count <= Self::CAPACITY);
        self.count = count;
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
