//! What the environment says, and how long the process has run.

use core::ffi::{CStr, c_char};

/// Whether the environment variable `COREHEAP_CORES` is this.
pub fn cores_variable_is(value: &str) -> bool {
    variable_is("COREHEAP_CORES", value)
}

/// Whether an environment variable is this. The C library's `getenv` would do; this needs no lock and no memory.
pub fn variable_is(name: &str, value: &str) -> bool {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library's list: null, or pointers to strings up to a null pointer.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let rest = CStr::from_ptr(*entry).to_bytes().strip_prefix(name.as_bytes());
            if rest.and_then(|rest| rest.strip_prefix(b"=")) == Some(value.as_bytes()) {
                return true;
            }
            entry = entry.add(1);
        }
    }
    false
}

/// The first bytes of a file of the system's, as many as there is room for; none if it cannot be read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn read_start<'a>(name: &CStr, room: &'a mut [u8]) -> &'a [u8] {
    // Plain system calls: at the C library's functions a thread may be cancelled, inside of the program's first `malloc`.
    // SAFETY: a name that ends with a zero, and room for as much as is asked for.
    let length = unsafe {
        let file = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return &[];
        }
        let length = libc::syscall(libc::SYS_read, file, room.as_mut_ptr(), room.len());
        libc::syscall(libc::SYS_close, file);
        length
    };
    room.get(..length as usize).unwrap_or_default()
}

/// How long the process's threads have run, all together.
pub fn processor_time() -> core::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    core::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
