//! Where no pages can be moved.

use core::ffi::c_void;

use coreheap::Region;

/// Nothing can be moved.
pub const REMAPS_FROM: usize = usize::MAX;

/// Nothing is to be done.
///
/// # Safety
/// None is needed.
pub unsafe fn begin(_: &Region) {}

/// There are none.
#[derive(Debug)]
pub struct MovedRanges;

impl MovedRanges {
    pub const fn new() -> Self {
        MovedRanges
    }

    /// Never called.
    ///
    /// # Safety
    /// None is needed.
    pub unsafe fn move_pages(&self, _: *mut c_void, _: *mut c_void, _: usize, _: usize) -> bool {
        false
    }

    /// # Safety
    /// None is needed.
    pub unsafe fn give_up(&self, _: *mut c_void, _: usize) {}

    pub fn forget(&self, _: usize, _: usize) {}
}
