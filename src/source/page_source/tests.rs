//! Memory for the tests of other files.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Mutex;
use std::vec::Vec;

pub mod script;

/// A static leads to it, so Miri takes none of it for a leak.
struct Kept(Vec<NonNull<u8>>);

// SAFETY: only kept.
unsafe impl Send for Kept {}

static KEPT: Mutex<Kept> = Mutex::new(Kept(Vec::new()));

/// Zeroed memory that stays until the process ends.
pub fn memory_that_stays(size: usize, align: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(size.max(1), align).unwrap();
    // SAFETY: not of size 0.
    let memory = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
    KEPT.lock().unwrap().0.push(memory);
    memory
}
