//! [`LeasedCores`]: core heaps leased to threads, where there are no restartable sequences: Windows, and Linux with musl, older glibc, or
//! another architecture.
//!
//! *Role*: tells the core crate's [`Leased`], which has the protocol, what this system calls a thread, and how it makes all of them
//! pass a barrier.

use coreheap::{Leased, Threads};

use crate::system;

/// At most so many core heaps, for at most so many threads.
pub type LeasedCores = Leased<HostThreads, 64, 1024>;

/// The system's threads.
#[derive(Debug)]
pub enum HostThreads {}

// SAFETY: each living thread has a record of its own; the barrier is the kernel's.
unsafe impl Threads for HostThreads {
    #[inline(always)]
    fn this() -> usize {
        system::this_thread()
    }

    fn barrier() -> bool {
        system::barrier()
    }

    fn cores() -> usize {
        system::cores_to_run_on()
    }

    #[inline(always)]
    fn generation() -> u32 {
        system::generation()
    }
}
