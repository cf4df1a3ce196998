//! Functions that not every Windows has.

use core::ffi::CStr;

use windows_sys::Win32::Foundation::FARPROC;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};

use super::last_error::LastError;

/// The address of a function of a library that is in every process. An import instead would keep a program from starting where there is
/// no such function.
pub fn find(library: &CStr, name: &CStr) -> FARPROC {
    let _kept = LastError::keep();
    // SAFETY: two names that end with a zero byte. The library is never unloaded.
    unsafe { GetProcAddress(GetModuleHandleA(library.as_ptr().cast()), name.as_ptr().cast()) }
}
