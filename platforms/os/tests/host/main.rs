//! The heap as a program's global allocator, on this host.
//!
//! Each case runs in a process of its own, once with each way of keeping contexts apart (see [`support::cases!`]).

#![cfg(any(target_os = "linux", windows))]

mod ends;
mod exchange;
mod kinds;
mod parcel;
mod purges;
mod support;

cfg_if::cfg_if! {
    if #[cfg(windows)] {
        #[path = "windows.rs"]
        mod system;
    } else {
        mod clones;
        mod forks;
        #[cfg(not(target_env = "musl"))]
        mod second_copy;
        mod signals;
        #[path = "linux.rs"]
        mod system;
    }
}

#[global_allocator]
static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
