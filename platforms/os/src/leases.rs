//! [`LeasedCores`]: core heaps leased to threads, for Linux without restartable sequences: musl, older glibc, other architectures.
//!
//! *Role*: tells the core crate's [`Leased`], which has the protocol, what this system calls a thread, and how it makes all of them
//! pass a barrier.

use coreheap::{Leased, Threads};

use crate::fork;
use crate::membarrier::MEMORY;

/// At most so many core heaps, for at most so many threads.
pub type LeasedCores = Leased<HostThreads, 64, 1024>;

/// Threads of the C library.
#[derive(Debug)]
pub enum HostThreads {}

// SAFETY: each living thread has a thread pointer of its own; the barrier is the kernel's.
unsafe impl Threads for HostThreads {
    #[inline(always)]
    fn this() -> usize {
        thread_pointer()
    }

    fn barrier() -> bool {
        MEMORY.pass()
    }

    fn cores() -> usize {
        cores_to_run_on()
    }

    #[inline(always)]
    fn generation() -> u32 {
        fork::generation()
    }
}

/// Whether this system has the barrier.
pub fn may_lease() -> bool {
    MEMORY.register()
}

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64", not(miri)))] {
        /// The first word of a thread's own record is its address.
        #[inline(always)]
        fn thread_pointer() -> usize {
            let pointer;
            // SAFETY: the x86-64 ABI for thread-local storage promises the word.
            unsafe { core::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly, pure)) };
            pointer
        }
    } else if #[cfg(all(target_os = "linux", target_arch = "aarch64", not(miri)))] {
        /// Where a thread's own record lies.
        #[inline(always)]
        fn thread_pointer() -> usize {
            let pointer;
            // SAFETY: reads a register.
            unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem, pure)) };
            pointer
        }
    } else {
        /// What the C library calls this thread: where its own record lies.
        #[inline(always)]
        fn thread_pointer() -> usize {
            // SAFETY: takes nothing, cannot fail.
            unsafe { libc::pthread_self() as usize }
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))] {
        /// How many cores this thread may run on. No look into the file system, as other ways have it.
        fn cores_to_run_on() -> usize {
            let _errno = crate::errno::Errno::keep();
            // SAFETY: all zero is an empty set, which the call fills.
            unsafe {
                let mut set: libc::cpu_set_t = core::mem::zeroed();
                match libc::sched_getaffinity(0, size_of_val(&set), &mut set) {
                    0 => libc::CPU_COUNT(&set) as usize,
                    // More cores than the set has room for.
                    _ => 1024,
                }
            }
        }
    } else {
        /// Not asked here.
        fn cores_to_run_on() -> usize {
            4
        }
    }
}
