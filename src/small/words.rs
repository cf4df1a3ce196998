//! The words of a heap's regions, by address.
//!
//! *Role*: what heaps keep in blocks that nobody has, links and sizes, is read and written here; and the lists that such blocks are in, with links both
//! ways.

use crate::source::page_source::PageSource;

/// Bytes in a word.
pub const WORD: usize = size_of::<usize>();

// Words of a block in a list, behind its first one: links to its neighbours, or 0.
pub const NEXT: usize = 1;
const BEFORE: usize = 2;
/// Bytes of such a block from its start to behind its links.
pub const LINKED: usize = 3 * WORD;

/// The next multiple of a power of two.
#[inline(always)]
pub const fn align_up(value: usize, to: usize) -> usize {
    (value + (to - 1)) & !(to - 1)
}

/// The words of the regions that this source gave.
///
/// Its functions are safe to call with addresses of words in a region, aligned, that are no part of a block that the program has. All callers
/// are in the heap that has the regions, and alone in it (X1), or have a region that is not yet the heap's.
pub struct Words<'a, S>(pub &'a S);

impl<S> Clone for Words<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Words<'_, S> {}

impl<S: PageSource> Words<'_, S> {
    /// Reads the word that lies `index` words behind an address.
    #[inline(always)]
    pub fn read(self, address: usize, index: usize) -> usize {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).cast::<usize>().add(index).read() }
    }

    /// Writes it.
    #[inline(always)]
    pub fn write(self, address: usize, index: usize, value: usize) {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).cast::<usize>().add(index).write(value) }
    }

    /// Puts a block in front of a list.
    #[inline(always)]
    pub fn link(self, first: &mut usize, block: usize) {
        let next = *first;
        self.write(block, NEXT, next);
        self.write(block, BEFORE, 0);
        if next != 0 {
            self.write(next, BEFORE, block);
        }
        *first = block;
    }

    /// Takes a block out of its list. If it was the first, the list begins with what is returned now, which may be 0.
    #[inline(always)]
    pub fn unlink(self, block: usize) -> Option<usize> {
        let (next, before) = (self.read(block, NEXT), self.read(block, BEFORE));
        if next != 0 {
            self.write(next, BEFORE, before);
        }
        if before == 0 {
            return Some(next);
        }
        self.write(before, NEXT, next);
        None
    }

    /// All blocks of a list. Panics where a link back is wrong, which breaks this invariant.
    pub fn assert_list(self, first: usize, invariant: &'static str) -> impl Iterator<Item = usize> {
        let mut before = 0;
        let some = |block: usize| (block != 0).then_some(block);
        core::iter::successors(some(first), move |block| some(self.read(*block, NEXT))).inspect(move |block| {
            assert_eq!(self.read(*block, BEFORE), before, "{invariant}: the block before {block:#x}");
            before = *block;
        })
    }

    /// Reads the byte at an address, of any alignment.
    #[inline(always)]
    pub fn read_byte(self, address: usize) -> u8 {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).read() }
    }

    /// Writes it.
    #[inline(always)]
    pub fn write_byte(self, address: usize, value: u8) {
        // SAFETY: as said above.
        unsafe { self.0.pointer_at(address).write(value) }
    }
}
