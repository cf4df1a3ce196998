//! The functions of C, POSIX and glibc.
//!
//! *Role*: names, return values and `errno`. Where a standard leaves a choice, glibc's is taken, and said.

use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};

use libc::{EINVAL, ENOMEM};

use crate::HEAP;
use crate::request::{allocate_aligned, allocate_otherwise, allocate_ready, allocate_zeroed, free as give_back, reallocate};

/// Has whoever links `malloc` from an archive link what runs before the program as well.
#[used]
static START: &extern "C" fn() = &crate::start::START;

/// Null, and `errno` says why.
#[cold]
pub fn refused(error: c_int) -> *mut c_void {
    // SAFETY: the address of this thread's own variable.
    unsafe { libc::__errno_location().write(error) };
    null_mut()
}

/// The block, or null and `ENOMEM`.
#[inline(always)]
fn or_no_memory(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => refused(ENOMEM),
    }
}

/// A block of `size` bytes; of size 0 as well.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    // The rest is a jump: this function needs no stack.
    match allocate_ready(size) {
        Some(block) => block.as_ptr().cast(),
        None => malloc_otherwise(size),
    }
}

#[inline(never)]
extern "C" fn malloc_otherwise(size: usize) -> *mut c_void {
    or_no_memory(allocate_otherwise(size))
}

/// A block for `count` objects of `size` bytes, all zero.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    or_no_memory(allocate_zeroed(count, size))
}

/// The block with a new size. Null is allocated; size 0 frees and returns null, as in glibc, with `errno` as it was.
///
/// # Safety
/// `block` is null or a block; it is not used any more, unless null comes back for another size than 0.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    match NonNull::new(block.cast::<u8>()) {
        None => malloc(size),
        Some(block) if size == 0 => {
            // SAFETY: the caller's promise.
            unsafe { give_back(block.as_ptr()) };
            null_mut()
        }
        // SAFETY: the caller's promise.
        Some(block) => or_no_memory(unsafe { reallocate(block, size) }),
    }
}

/// [`realloc`] to `count` objects of `size` bytes.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise.
        Some(size) => unsafe { realloc(block, size) },
        None => refused(ENOMEM),
    }
}

/// Gives a block back; null does nothing.
///
/// # Safety
/// `block` is null, or a block that is not used any more.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { give_back(block.cast()) }
}

/// [`free`] of old; glibc still has it for old programs.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { give_back(block.cast()) }
}

/// C23's [`free`] of a block with this size, which is not looked at.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: the caller's promise.
    unsafe { give_back(block.cast()) }
}

/// C23's [`free`] of a block with this alignment and size, which are not looked at.
///
/// # Safety
/// As there.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: the caller's promise.
    unsafe { give_back(block.cast()) }
}

/// A block at a multiple of `align`; `EINVAL` if that is no power of two. `size` need be no multiple of it.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { or_no_memory(allocate_aligned(align, size)) } else { refused(EINVAL) }
}

/// A block at a multiple of `align`, or of the next power of two, as in glibc; `EINVAL` if there is none.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => or_no_memory(allocate_aligned(align, size)),
        None => refused(EINVAL),
    }
}

/// Stores a block at a multiple of `align`, a power of two that pointers could have. Returns 0, or the error: `errno` and `place` stay
/// as they were then.
///
/// # Safety
/// `place` may be written.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return EINVAL;
    }
    let Some(block) = allocate_aligned(align, size) else { return ENOMEM };
    // SAFETY: the caller's promise.
    unsafe { place.write(block.as_ptr().cast()) };
    0
}

/// A block at a multiple of the page size.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    or_no_memory(allocate_aligned(page_size(), size))
}

/// A block of whole pages.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page_size = page_size();
    or_no_memory(size.checked_next_multiple_of(page_size).and_then(|size| allocate_aligned(page_size, size)))
}

/// How many bytes the block has, all of which may be used; 0 for null.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    HEAP.usable_size(block.cast()).unwrap_or(0)
}

fn page_size() -> usize {
    // SAFETY: a plain question.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}
