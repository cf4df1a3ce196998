//! Between the bits of one word and the blocks they stand for.
//!
//! *Role*: [`page`](crate::pages::page) claims a [`Batch`] as bits and hands it out as blocks; a flush finds the bit of each block with a [`WordBlocks`].

use core::num::NonZeroUsize;

use crate::base::block::{Block, Blocks};

/// The blocks that one word of a page's bitmap stands for, by address.
pub struct WordBlocks {
    start: usize,
    length: usize,
    size: usize,
    reciprocal: u32,
}

impl WordBlocks {
    /// `count` blocks of `size` bytes from `start` on.
    #[inline]
    pub fn new(start: usize, count: usize, size: usize, reciprocal: u32) -> Self {
        WordBlocks { start, length: count * size, size, reciprocal }
    }

    /// Which bit stands for the block at this address. The error is an address inside that is not the start of a block; `None` is one
    /// outside.
    #[inline(always)]
    pub fn bit(&self, address: usize) -> Option<Result<usize, ()>> {
        let offset = address.wrapping_sub(self.start);
        if offset >= self.length {
            return None;
        }
        let bit = divide(offset, self.reciprocal);
        Some(if bit * self.size == offset { Ok(bit) } else { Err(()) })
    }
}

/// 2^32 / block size, rounded up.
pub fn reciprocal(size: usize) -> u32 {
    (1u64 << 32).div_ceil(size as u64) as u32
}

/// Offset / block size, by multiplication. Exact for every multiple of the size: the error is below block number * size / 2^32 < 1
/// (see `Geometry::VALID`).
#[inline(always)]
pub fn divide(offset: usize, reciprocal: u32) -> usize {
    ((offset as u64).wrapping_mul(reciprocal as u64) >> 32) as usize
}

/// Blocks claimed from one word of a page.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    start: usize,
    size: usize,
    bits: usize,
}

impl Batch {
    /// The blocks of `size` bytes from `start` on whose bits are set in `bits`, all of which the caller claimed.
    pub fn new(start: usize, size: usize, bits: usize) -> Self {
        Batch { start, size, bits }
    }

    /// The block with the lowest address.
    pub fn lowest(&mut self) -> Option<Block> {
        if self.bits == 0 {
            return None;
        }
        let bit = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        // SAFETY: claiming the bit made this context the owner, and no block lies at address 0.
        Some(unsafe { Block::from_address(NonZeroUsize::new_unchecked(self.start + bit * self.size)) })
    }

    /// The address that bit 0 stands for, and the bits: to give the blocks back without having had them in hand.
    pub fn into_bits(self) -> (usize, usize) {
        (self.start, self.bits)
    }

    /// Moves the blocks over, as many as there is room for, the lowest addresses first.
    pub fn move_to(&mut self, blocks: &mut Blocks) {
        while blocks.addresses().len() < Blocks::CAPACITY
            && let Some(block) = self.lowest()
        {
            blocks.add(block);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
