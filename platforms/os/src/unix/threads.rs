//! What tells threads and cores apart.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64", not(miri)))] {
        /// The first word of a thread's own record is its address.
        #[inline(always)]
        pub fn this_thread() -> usize {
            let pointer;
            // SAFETY: the x86-64 ABI for thread-local storage promises the word.
            unsafe { core::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly, pure)) };
            pointer
        }
    } else if #[cfg(all(target_os = "linux", target_arch = "aarch64", not(miri)))] {
        /// Where a thread's own record lies.
        #[inline(always)]
        pub fn this_thread() -> usize {
            let pointer;
            // SAFETY: reads a register.
            unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem, pure)) };
            pointer
        }
    } else {
        /// What the C library calls this thread: where its own record lies.
        #[inline(always)]
        pub fn this_thread() -> usize {
            // SAFETY: takes nothing, cannot fail.
            unsafe { libc::pthread_self() as usize }
        }
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))] {
        use super::errno::Errno;

        /// How many cores this thread may run on. No look into the file system, as other ways have it.
        pub fn cores_to_run_on() -> usize {
            let _errno = Errno::keep();
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

        /// The number of the core this runs on: a read of shared memory, no system call.
        #[inline(always)]
        pub fn core_number() -> usize {
            // SAFETY: takes nothing. An error is a number like any other.
            unsafe { libc::sched_getcpu() as usize }
        }
    } else {
        /// Not asked here: there is no barrier, so there are no leases.
        pub fn cores_to_run_on() -> usize {
            4
        }

        cfg_if::cfg_if! {
            if #[cfg(all(target_os = "macos", target_arch = "aarch64"))] {
                /// The number of the core this runs on: a read of a register. Every macOS for these processors has it.
                #[inline(always)]
                pub fn core_number() -> usize {
                    let mut number = 0;
                    // SAFETY: a place for the answer.
                    unsafe { libc::pthread_cpu_number_np(&mut number) };
                    number
                }
            } else {
                /// A number that tells threads apart, from where their stacks lie: where there is a call for the number of the core at all, it
                /// goes to the kernel.
                #[inline(always)]
                pub fn core_number() -> usize {
                    let here = 0u8;
                    // Stacks are some 100 KiB apart or more; the multiplication spreads their distances over the upper bits.
                    let stack = (&raw const here).addr() >> 17;
                    stack.wrapping_mul(0x9e37_79b9) >> 7
                }
            }
        }
    }
}

/// Lets another thread have the processor, if one waits for it.
pub fn yield_processor() {
    // SAFETY: takes nothing, and cannot fail on systems where it is a function at all.
    unsafe { libc::sched_yield() };
}
