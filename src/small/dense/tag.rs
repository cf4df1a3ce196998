//! What a block's first word says of it: the boundary tags.
//!
//! *Role*: reads and writes tags, and finds a block's neighbours by them.
//!
//! *Invariants*
//! - D1: the blocks of a region lie side by side. Each begins with its [`Tag`], a word before a multiple of [`GRANULE`], where its payload is; its size
//!   leads to the next. Behind the last one is a tag of size 0, the region's end, which is nobody's block.
//! - D2: a free block is marked so, holds its size in its last word, and the tag behind says that it follows a free block. No two neighbours
//!   are free.

use super::BlockState;
use crate::small::words::{WORD, Words};
use crate::source::page_source::PageSource;

/// Sizes of blocks, and addresses of their payloads, are multiples of this.
pub const GRANULE: usize = 2 * WORD;
/// The smallest block has room for its tag, two links and its size, while it is free.
pub const LEAST: usize = 2 * GRANULE;

/// Where the payload of a block begins, behind its tag: the address that the program knows.
#[inline(always)]
pub const fn payload_of(block: usize) -> usize {
    block + WORD
}

/// The block whose payload begins here, if one does.
#[inline(always)]
pub const fn block_of(payload: usize) -> usize {
    payload.wrapping_sub(WORD)
}

/// How many bytes of a free block go before a block at `align` in it: none, or so many that they are a block.
#[inline(always)]
pub const fn front_for(block: usize, align: usize) -> usize {
    let front = payload_of(block).wrapping_neg() & (align - 1);
    if front == GRANULE { front + align } else { front }
}

/// Size and state of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub usize);

impl Tag {
    /// It is free, and in a bin.
    pub const FREE: usize = 1;
    /// So is the block before it.
    pub const AFTER_FREE: usize = 2;
    /// It was freed, and waits for the next request of its size.
    pub const READY: usize = 4;

    /// From this block to the next, in bytes: one word more than it has room for. 0 at a region's end.
    #[inline(always)]
    pub fn size(self) -> usize {
        self.0 & !(Self::FREE | Self::AFTER_FREE | Self::READY)
    }

    /// Whether it has this mark.
    #[inline(always)]
    pub fn is(self, mark: usize) -> bool {
        self.0 & mark != 0
    }

    /// Whose the block is.
    pub fn state(self) -> BlockState {
        match self.0 & (Self::FREE | Self::READY) {
            Self::FREE => BlockState::Free,
            Self::READY => BlockState::Ready,
            _ => BlockState::Used,
        }
    }
}

impl<S: PageSource> Words<'_, S> {
    /// A block's tag.
    #[inline(always)]
    pub fn tag(self, block: usize) -> Tag {
        Tag(self.read(block, 0))
    }

    /// Writes a block's tag.
    #[inline(always)]
    pub fn set_tag(self, block: usize, tag: usize) {
        self.write(block, 0, tag);
    }

    /// Marks a block as free (D2). The block before it is not.
    pub fn set_free(self, block: usize, size: usize) {
        self.set_tag(block, size | Tag::FREE);
        let last = block + size - WORD;
        self.write(last, 0, size);
        self.write(last, 1, self.read(last, 1) | Tag::AFTER_FREE);
    }

    /// Marks a block as used. `marks` says whether it follows a free block.
    pub fn set_used(self, block: usize, size: usize, marks: usize) {
        self.set_tag(block, size | marks);
        let next = block + size;
        self.set_tag(next, self.tag(next).0 & !Tag::AFTER_FREE);
    }

    /// The size of the free block that ends where this one starts, if its tag says that there is one.
    pub fn size_before(self, block: usize) -> usize {
        self.read(block - WORD, 0)
    }
}
