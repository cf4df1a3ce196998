//! What tests ask Windows.

use windows_sys::Win32::Foundation::{GetLastError, SetLastError};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::core::s;

/// Windows has none.
pub fn has_sequences() -> bool {
    false
}

/// Windows has one, Wine does as if.
pub fn has_barrier() -> bool {
    // SAFETY: constant names.
    unsafe { GetProcAddress(GetModuleHandleA(s!("ntdll.dll")), s!("wine_get_version")).is_none() }
}

/// Bytes of this process's memory that are in RAM.
pub fn resident_bytes() -> usize {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    // SAFETY: a place for the answer, as big as is said.
    let is_known = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &mut counters, size_of_val(&counters) as u32) };
    assert_ne!(is_known, 0);
    counters.WorkingSetSize
}

/// Sets this thread's number of the last error.
pub fn set_error(error: u32) {
    // SAFETY: this thread's own variable.
    unsafe { SetLastError(error) };
}

/// This thread's number of the last error.
pub fn error() -> u32 {
    // SAFETY: this thread's own variable.
    unsafe { GetLastError() }
}
