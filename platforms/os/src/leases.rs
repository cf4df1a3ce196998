//! [`LeasedCores`]: core heaps leased to threads, where there are no restartable sequences: Windows, and Linux with older glibc,
//! musl linked dynamically, or another architecture.
//!
//! *Role*: tells the core crate's [`Leased`], which has the protocol, what this system calls a thread, and how it makes all of them
//! pass a barrier.

use core::ptr::NonNull;

use coreheap::{Leased, Threads};

use crate::system;

/// Four core heaps for each core, of as many cores as there may be with sequences.
pub type LeasedCores = Leased<HostThreads, 2048>;

/// The system's threads.
#[derive(Debug)]
pub enum HostThreads {}

// SAFETY: each living thread has a record of its own; the barrier and the memory are the kernel's.
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

    fn table(bytes: usize) -> Option<NonNull<u8>> {
        system::zeroed_memory(bytes)
    }

    unsafe fn return_table(table: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { system::return_memory(table, bytes) }
    }

    #[inline(always)]
    fn generation() -> u32 {
        system::generation()
    }
}
