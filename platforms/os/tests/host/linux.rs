//! What tests ask Linux.

/// Whether the kernel can restart sequences, and threads are registered for them.
pub fn has_sequences() -> bool {
    membarrier_commands() >> 7 & 1 == 1 && threads_are_registered()
}

/// Whether the kernel has a memory barrier for the whole process.
pub fn has_barrier() -> bool {
    membarrier_commands() >> 3 & 1 == 1
}

fn membarrier_commands() -> libc::c_long {
    // SAFETY: asks which commands there are.
    unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) }
}

/// Whether this thread is registered for restartable sequences, or would be.
fn threads_are_registered() -> bool {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return false;
    }
    // SAFETY: an area that is nowhere is refused, unless the kernel has no such call at all.
    let registers = || unsafe {
        libc::syscall(libc::SYS_rseq, 1, 32, 0, 0) == -1 && std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
    };
    // SAFETY: a constant name; the variable is a `u32` where it exists.
    let is_registered_by_glibc = || unsafe {
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        !size.is_null() && size.read() != 0
    };
    if cfg!(target_env = "gnu") { is_registered_by_glibc() } else { registers() }
}

/// Bytes of this process's memory that are in RAM.
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).expect("the second number").parse::<usize>().expect("a number") * 4096
}

/// Sets this thread's number of the last error.
pub fn set_error(error: u32) {
    // SAFETY: this thread's own variable.
    unsafe { *libc::__errno_location() = error as i32 };
}

/// This thread's number of the last error.
pub fn error() -> u32 {
    // SAFETY: this thread's own variable.
    unsafe { *libc::__errno_location() as u32 }
}
