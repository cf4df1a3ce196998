//! What differs between systems, on Linux and its relatives.

pub mod errno;
mod fork;
#[cfg(all(target_os = "linux", not(miri)))]
pub mod loaded;
pub mod membarrier;
mod mmap;
mod os_page;
mod process;
mod threads;

pub use fork::{generation, watch_forks};
pub use mmap::{LargePage, Mmap, NodeError, Reserved, return_memory, zeroed_memory};
pub use process::{cores_variable_is, processor_time};
#[cfg(all(target_os = "linux", not(miri)))]
pub use process::{read_start, variable_is};
pub use threads::{core_number, cores_to_run_on, this_thread, yield_processor};

/// Where the memory of heaps comes from.
pub type HostPages = Mmap;

/// Whether this system has a barrier that every running thread of the process passes.
pub fn has_barrier() -> bool {
    membarrier::MEMORY.register()
}

/// Has every running thread of this process pass a full memory barrier; false if the kernel refuses.
pub fn barrier() -> bool {
    membarrier::MEMORY.pass()
}
