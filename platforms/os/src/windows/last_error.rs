//! Keeps `GetLastError` as it was.
//!
//! *Role*: whatever calls the system here holds a [`LastError`] meanwhile: a program that allocates or frees between a call of its own
//! and the look at `GetLastError` finds its own error.

use windows_sys::Win32::Foundation::{GetLastError, SetLastError, WIN32_ERROR};

/// The thread's last error as it was at [`keep`](LastError::keep); put back when dropped.
pub struct LastError(WIN32_ERROR);

impl LastError {
    /// Remembers the last error.
    pub fn keep() -> Self {
        LastError(Self::now())
    }

    /// Why the last call that failed did so.
    pub fn now() -> WIN32_ERROR {
        // SAFETY: reads the thread's own record.
        unsafe { GetLastError() }
    }
}

impl Drop for LastError {
    fn drop(&mut self) {
        // SAFETY: writes the thread's own record.
        unsafe { SetLastError(self.0) }
    }
}
