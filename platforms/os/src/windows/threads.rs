//! What tells threads and cores apart.

use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentProcessorNumber, GetProcessAffinityMask, SwitchToThread,
};

use super::last_error::LastError;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        /// Where this thread's environment block lies, which says so itself.
        #[inline(always)]
        pub fn this_thread() -> usize {
            let block;
            // SAFETY: the field `Self` of `NT_TIB`, which the system keeps for every thread.
            unsafe { core::arch::asm!("mov {}, gs:[0x30]", out(reg) block, options(nostack, preserves_flags, readonly, pure)) };
            block
        }
    } else if #[cfg(target_arch = "x86")] {
        /// Where this thread's environment block lies, which says so itself.
        #[inline(always)]
        pub fn this_thread() -> usize {
            let block;
            // SAFETY: the field `Self` of `NT_TIB`, which the system keeps for every thread.
            unsafe { core::arch::asm!("mov {}, fs:[0x18]", out(reg) block, options(nostack, preserves_flags, readonly, pure)) };
            block
        }
    } else if #[cfg(target_arch = "aarch64")] {
        /// Where this thread's environment block lies.
        #[inline(always)]
        pub fn this_thread() -> usize {
            let block;
            // SAFETY: reads a register, which the system's ABI reserves for this.
            unsafe { core::arch::asm!("mov {}, x18", out(reg) block, options(nostack, preserves_flags, nomem, pure)) };
            block
        }
    } else {
        /// This thread's number.
        #[inline(always)]
        pub fn this_thread() -> usize {
            // SAFETY: takes nothing, cannot fail.
            unsafe { windows_sys::Win32::System::Threading::GetCurrentThreadId() as usize }
        }
    }
}

/// Lets another thread have the processor, if one waits for it.
pub fn yield_processor() {
    let _kept = LastError::keep();
    // SAFETY: takes nothing.
    unsafe { SwitchToThread() };
}

/// How many cores this process may run on; of more than one group of processors, as many as a group can have.
pub fn cores_to_run_on() -> usize {
    let _kept = LastError::keep();
    let (mut of_process, mut of_system) = (0, 0);
    // SAFETY: two places for the answer. The masks are zero for a process with threads in several groups.
    unsafe { GetProcessAffinityMask(GetCurrentProcess(), &mut of_process, &mut of_system) };
    if of_process == 0 { usize::BITS as usize } else { of_process.count_ones() as usize }
}

/// The number of the core this runs on, in its group: no system call.
#[inline(always)]
pub fn core_number() -> usize {
    // SAFETY: takes nothing, cannot fail.
    unsafe { GetCurrentProcessorNumber() as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn each_living_thread_has_a_number_of_its_own() {
        const THREADS: usize = 50;
        static ALL_LIVE: Barrier = Barrier::new(THREADS);
        let number = || {
            let number = this_thread();
            ALL_LIVE.wait();
            assert_eq!(number, this_thread());
            number
        };
        let threads: std::vec::Vec<_> = (0..THREADS).map(|_| thread::spawn(number)).collect();
        let numbers: HashSet<usize> = threads.into_iter().map(|thread| thread.join().expect("a number")).collect();
        assert!(numbers.len() == THREADS && !numbers.contains(&0) && !numbers.contains(&this_thread()));
    }

    #[test]
    fn cores_are_counted() {
        let count = cores_to_run_on();
        assert_eq!(count, thread::available_parallelism().expect("a number").get().min(usize::BITS as usize));
        assert!((0..1000).all(|_| core_number() < usize::BITS as usize));
    }
}
