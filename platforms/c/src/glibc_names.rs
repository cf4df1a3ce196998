//! glibc's second names for the functions of C: `__libc_malloc` and its like.
//!
//! *Role*: programs that wrap `malloc` call them. If they were glibc's own, a block of theirs that reaches `free` here would be no block; and
//! in a static program a reference to one would bring glibc's allocator along, and with it a second `malloc`.

use core::ffi::c_void;

use crate::c;

/// `malloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    c::malloc(size)
}

/// `calloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    c::calloc(count, size)
}

/// `realloc`.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { c::realloc(block, size) }
}

/// `free`.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __libc_free(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { c::free(block) }
}

/// `memalign`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    c::memalign(align, size)
}

/// `valloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_valloc(size: usize) -> *mut c_void {
    c::valloc(size)
}

/// `pvalloc`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn __libc_pvalloc(size: usize) -> *mut c_void {
    c::pvalloc(size)
}
