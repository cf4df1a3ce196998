//! What tests ask Linux.

/// Whether the kernel can restart sequences, and the C library has registered this thread for them.
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

/// Whether glibc registered this thread for restartable sequences.
fn threads_are_registered() -> bool {
    if !cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return false;
    }
    // SAFETY: a constant name; the variable is a `u32` where it exists.
    unsafe {
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        !size.is_null() && size.read() != 0
    }
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
