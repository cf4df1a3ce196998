//! What the environment and files of the system's say, and how long the process has run.

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
    let length = SystemFile::open(name).and_then(|file| file.read(room));
    &room[..length.unwrap_or(0)]
}

/// Calls `look` with each line of a file of the system's, or with its first bytes if it is long. False if it cannot be opened, which `errno` says why.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn each_line(name: &CStr, mut look: impl FnMut(&[u8])) -> bool {
    let Some(file) = SystemFile::open(name) else { return false };
    let (mut part, mut line, mut length) = ([0; 256], [0; 64], 0);
    while let Some(read) = file.read(&mut part).filter(|read| *read > 0) {
        for byte in &part[..read] {
            if *byte == b'\n' {
                look(&line[..length]);
                length = 0;
            } else if length < line.len() {
                line[length] = *byte;
                length += 1;
            }
        }
    }
    true
}

/// A file of the system's, until this is dropped. By plain system calls: at the C library's functions a thread may be cancelled, inside of the program's
/// first `malloc`.
#[cfg(any(target_os = "linux", target_os = "android"))]
struct SystemFile(libc::c_long);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl SystemFile {
    fn open(name: &CStr) -> Option<Self> {
        // SAFETY: a name that ends with a zero.
        let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        (file >= 0).then_some(SystemFile(file))
    }

    /// The next bytes; how many.
    fn read(&self, room: &mut [u8]) -> Option<usize> {
        // SAFETY: room for as much as is asked for.
        let length = unsafe { libc::syscall(libc::SYS_read, self.0, room.as_mut_ptr(), room.len()) };
        usize::try_from(length).ok()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Drop for SystemFile {
    fn drop(&mut self) {
        // SAFETY: opened above, and used no more.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

/// How long the process's threads have run, all together.
pub fn processor_time() -> core::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    core::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
