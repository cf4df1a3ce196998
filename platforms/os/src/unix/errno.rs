//! Keeps `errno` as it was.
//!
//! *Role*: whatever makes a system call here holds an [`Errno`] meanwhile: a program that allocates or frees between a call of its
//! own and the look at `errno` finds its own error.

/// `errno` as it was at [`keep`](Errno::keep); put back when dropped.
pub struct Errno(libc::c_int);

impl Errno {
    /// Remembers `errno`.
    pub fn keep() -> Self {
        // SAFETY: the address of this thread's own variable.
        Errno(unsafe { location().read() })
    }

    /// Whether the last system call that failed did so for this reason.
    #[allow(dead_code, reason = "only Linux moves pages")]
    pub fn is(error: libc::c_int) -> bool {
        // SAFETY: as above.
        unsafe { location().read() == error }
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { location().write(self.0) }
    }
}

fn location() -> *mut libc::c_int {
    cfg_if::cfg_if! {
        if #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))] {
            // SAFETY: takes nothing, has no effect.
            unsafe { libc::__errno() }
        } else if #[cfg(any(target_vendor = "apple", target_os = "freebsd"))] {
            // SAFETY: as above.
            unsafe { libc::__error() }
        } else if #[cfg(any(target_os = "illumos", target_os = "solaris"))] {
            // SAFETY: as above.
            unsafe { libc::___errno() }
        } else {
            // SAFETY: as above.
            unsafe { libc::__errno_location() }
        }
    }
}
