//! A library with its own copy of the allocator; `tests/host/second_copy.rs` loads it.

use std::alloc::Layout;

use coreheap_os::{Coreheap, CoresKind};

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

/// What the loader runs when it loads this library, with its lock held.
#[cfg(target_os = "linux")]
mod constructor {
    use std::ffi::c_void;
    use std::ptr::{null, null_mut};
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// What a thread of the constructor's allocated.
    static FIRST: AtomicPtr<u8> = AtomicPtr::new(null_mut());

    #[used]
    #[unsafe(link_section = ".init_array")]
    static START: extern "C" fn() = start;

    /// The heap is used for the first time by another thread, for which this one waits.
    extern "C" fn start() {
        let mut thread = 0;
        // SAFETY: a function that takes nothing; a thread that was made has a name.
        unsafe {
            if libc::pthread_create(&mut thread, null(), first_use, null_mut()) == 0 {
                libc::pthread_join(thread, null_mut());
            }
        }
    }

    extern "C" fn first_use(nothing: *mut c_void) -> *mut c_void {
        FIRST.store(super::second_allocate(100), Ordering::Release);
        nothing
    }

    /// The block that was allocated while this library was loaded.
    #[unsafe(no_mangle)]
    pub extern "C" fn second_first() -> *mut u8 {
        FIRST.load(Ordering::Acquire)
    }
}

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
