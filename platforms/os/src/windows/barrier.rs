//! A memory barrier for all threads of the process at once.
//!
//! *Role*: the slow side of the protocol of [`leases`](crate::leases), whose fast side has no barrier.

use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

use super::library::find;

/// Whether this system has the barrier. Wine has the function, and as far as is known it does nothing there: what relies on it would go
/// well nearly always.
pub fn has_barrier() -> bool {
    !is_wine()
}

/// Has every running thread of this process pass a full memory barrier.
pub fn barrier() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { FlushProcessWriteBuffers() };
    true
}

/// Wine says so by a function of its own.
fn is_wine() -> bool {
    find(c"ntdll.dll", c"wine_get_version").is_some()
}
