//! The heap as a program's global allocator, on this host.
//!
//! Each case runs in a process of its own, once with each way of keeping contexts apart (see [`support::cases!`]).

#![cfg(target_os = "linux")]

mod ends;
mod exchange;
mod forks;
mod kinds;
mod parcel;
mod purges;
#[cfg(not(target_env = "musl"))]
mod second_copy;
mod signals;
#[macro_use]
mod support;

#[global_allocator]
static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
