//! What the word before a block says of it: the boundary tags.
//!
//! *Role*: reads and writes tags, and finds a block's neighbours by them.
//!
//! *Invariants*
//! - D1: the blocks of a region lie side by side. Each starts at a multiple of [`GRANULE`], with its [`Tag`] in the word before; its size leads
//!   to the next. Behind the last one is a tag of size 0, the region's end, which is nobody's block.
//! - D2: a free block is marked so, holds its size in its last word, and the tag behind says that it follows a free block. No two neighbours
//!   are free.

use crate::page_source::PageSource;

/// Bytes in a word.
pub const WORD: usize = size_of::<usize>();
/// Addresses and sizes of blocks are multiples of this.
pub const GRANULE: usize = 2 * WORD;
/// The smallest block has room for two links and its size, while it is free, and for the tag of the next.
pub const LEAST: usize = 2 * GRANULE;

/// The next multiple of a power of two.
#[inline(always)]
pub const fn align_up(value: usize, to: usize) -> usize {
    (value + (to - 1)) & !(to - 1)
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
}

/// The words of a heap's regions, by address.
///
/// Its functions are safe to call with addresses of words in a region, aligned, that are no part of a block that the program has. All callers
/// are in this heap, and alone in it (X1).
pub struct Words<'a, S>(pub &'a S);

impl<S> Clone for Words<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Words<'_, S> {}

impl<S: PageSource> Words<'_, S> {
    /// Reads a word.
    #[inline(always)]
    pub fn read(self, address: usize) -> usize {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).cast::<usize>().read() }
    }

    /// Writes a word.
    #[inline(always)]
    pub fn write(self, address: usize, value: usize) {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).cast::<usize>().write(value) }
    }

    /// A block's tag.
    #[inline(always)]
    pub fn tag(self, block: usize) -> Tag {
        Tag(self.read(block - WORD))
    }

    /// Writes a block's tag.
    #[inline(always)]
    pub fn set_tag(self, block: usize, tag: usize) {
        self.write(block - WORD, tag);
    }

    /// Marks a block as free (D2). The block before it is not.
    pub fn set_free(self, block: usize, size: usize) {
        self.set_tag(block, size | Tag::FREE);
        let next = block + size;
        self.write(next - GRANULE, size);
        self.set_tag(next, self.tag(next).0 | Tag::AFTER_FREE);
    }

    /// Marks a block as used. `marks` says whether it follows a free block.
    pub fn set_used(self, block: usize, size: usize, marks: usize) {
        self.set_tag(block, size | marks);
        let next = block + size;
        self.set_tag(next, self.tag(next).0 & !Tag::AFTER_FREE);
    }

    /// The size of the free block that ends where this one starts, if its tag says that there is one.
    pub fn size_before(self, block: usize) -> usize {
        self.read(block - GRANULE)
    }
}
