//! A library with its own copy of the allocator; `tests/host/second_copy.rs` loads it.

use std::alloc::Layout;

use coreheap_os::{Coreheap, CoresKind};

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

/// A block of `size` bytes, or null.
#[unsafe(no_mangle)]
pub extern "C" fn second_allocate(size: usize) -> *mut u8 {
    let layout = Layout::from_size_align(size, 16).ok();
    layout.and_then(|layout| HEAP.allocate(layout)).map_or(std::ptr::null_mut(), |block| block.as_ptr())
}

/// Frees a block of this copy.
///
/// # Safety
/// The block came from here and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn second_free(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.deallocate_unsized(block) }
}

/// Gives all free memory back; returns how many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn second_purge() -> usize {
    HEAP.purge()
}

/// Whether this copy uses restartable sequences.
#[unsafe(no_mangle)]
pub extern "C" fn second_uses_rseq() -> bool {
    HEAP.cores_kind() == CoresKind::Rseq
}
