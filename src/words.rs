//! The words of a heap's regions, by address.
//!
//! *Role*: what heaps keep in blocks that nobody has, links and sizes, is read and written here.

use crate::page_source::PageSource;

/// Bytes in a word.
pub const WORD: usize = size_of::<usize>();

/// The next multiple of a power of two.
#[inline(always)]
pub const fn align_up(value: usize, to: usize) -> usize {
    (value + (to - 1)) & !(to - 1)
}

/// The words of the regions that this source gave.
///
/// Its functions are safe to call with addresses of words in a region, aligned, that are no part of a block that the program has. All callers
/// are in the heap that has the regions, and alone in it (X1).
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
