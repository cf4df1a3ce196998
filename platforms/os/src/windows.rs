//! What differs between systems, on Windows.

mod barrier;
mod large_pages;
mod last_error;
mod library;
mod process;
mod threads;
mod virtual_alloc;

pub use barrier::{barrier, has_barrier};
pub use large_pages::LargePages;
pub use process::cores_variable_is;
#[cfg(feature = "std")]
pub use process::processor_time;
pub use threads::{core_number, cores_to_run_on, this_thread, yield_processor};
pub use virtual_alloc::{VirtualAlloc, return_memory, zeroed_memory};

/// Where the memory of heaps comes from.
pub type HostPages = VirtualAlloc;

/// The generation of this process: Windows has no `fork`.
#[inline(always)]
pub fn generation() -> u32 {
    1
}

/// There are none.
pub fn watch_forks() {}
