//! Looking at what is in a region, for the tests of all page sources.

use std::ptr::NonNull;

use coreheap_os::coreheap::Region;
use coreheap_tests::blocks::holds;

pub fn at(region: Region, offset: usize) -> NonNull<u8> {
    assert!(offset < region.size);
    // SAFETY: inside the region.
    unsafe { region.start.add(offset) }
}

/// Fills a range with `byte`.
pub fn fill(start: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: the caller's committed memory.
    unsafe { start.write_bytes(byte, size) }
}

pub fn holds_only(start: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: the caller's committed memory.
    unsafe { holds(start, size, byte) }
}
