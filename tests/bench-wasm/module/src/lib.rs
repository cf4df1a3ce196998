//! A module that exports three functions of an allocator, and with the feature `work` or `workers` what keeps it busy.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod heap;
#[cfg(feature = "work")]
mod work;
#[cfg(feature = "workers")]
pub mod workers;

use alloc::alloc::{alloc, dealloc, realloc};
use core::alloc::Layout;

/// `alloc` for the host.
///
/// # Safety
/// As for `GlobalAlloc::alloc`.
#[unsafe(export_name = "alloc")]
pub unsafe extern "C" fn allocate(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { alloc(Layout::from_size_align_unchecked(size, align)) }
}

/// `dealloc` for the host.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[unsafe(export_name = "dealloc")]
pub unsafe extern "C" fn deallocate(block: *mut u8, size: usize, align: usize) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(block, Layout::from_size_align_unchecked(size, align)) }
}

/// `realloc` for the host.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[unsafe(export_name = "realloc")]
pub unsafe extern "C" fn reallocate(block: *mut u8, size: usize, align: usize, new_size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { realloc(block, Layout::from_size_align_unchecked(size, align), new_size) }
}

#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
