//! [`Memory`]: what an allocator gets.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::peers::Region;

/// Memory for an allocator.
#[repr(C, align(32))]
pub struct Memory<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: it is handed out as a raw pointer only.
unsafe impl<const BYTES: usize> Sync for Memory<BYTES> {}

impl<const BYTES: usize> Memory<BYTES> {
    /// All zero.
    pub const fn new() -> Self {
        Memory(UnsafeCell::new([0; BYTES]))
    }

    /// Where it is. Only its first user may use it.
    pub fn region(&'static self) -> Region {
        NonNull::slice_from_raw_parts(NonNull::from_ref(&self.0).cast(), BYTES)
    }
}

impl<const BYTES: usize> Default for Memory<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}
