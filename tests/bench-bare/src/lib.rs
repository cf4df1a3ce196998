//! What is measured: allocators for bare metal behind one trait, and the work that they do. For the targets and for the host.

#![no_std]

pub mod count;
#[cfg(target_has_atomic = "ptr")]
pub mod exchange;
pub mod fill;
mod guard;
mod memory;
mod peers;

pub use guard::{Guard, Guarded, Masked, Unguarded};
#[cfg(target_has_atomic = "ptr")]
pub use guard::{Spin, Ticket};
pub use memory::Memory;
pub use peers::*;

#[cfg(target_has_atomic = "ptr")]
pub use coreheap_bare::CoreNumber;
pub use coreheap_bare::{Coreheap, ExclusiveHeap};
pub use embedded_alloc::{LlffHeap, TlsfHeap};
#[cfg(all(target_os = "none", target_has_atomic = "ptr", target_pointer_width = "32"))]
pub use rusty_alloc_api::RustyAlloc;

/// Calls a macro with the table of what is measured on one core: names, and types for regions of `BYTES`.
#[macro_export]
macro_rules! for_each_peer {
    ($macro:ident) => {
        $macro! {
            "Coreheap" => Coreheap<BYTES>,
            "ExclusiveHeap" => ExclusiveHeap<BYTES>,
            "ExclusiveHeap, masked" => Guarded<ExclusiveHeap<BYTES>, Masked>,
            "embedded-alloc LLFF, masked" => LlffHeap,
            "embedded-alloc TLSF, masked" => TlsfHeap,
            "linked_list_allocator" => Guarded<LinkedList, Unguarded>,
            "linked_list_allocator, masked" => Guarded<LinkedList, Masked>,
            "buddy_system_allocator" => Guarded<Buddy, Unguarded>,
            "buddy_system_allocator, masked" => Guarded<Buddy, Masked>,
            "rlsf" => Guarded<Rlsf, Unguarded>,
            "rlsf, masked" => Guarded<Rlsf, Masked>,
            "talc" => Guarded<Talc, Unguarded>,
            "talc, masked" => Guarded<Talc, Masked>,
            #[cfg(not(target_arch = "arm"))]
            "picoalloc" => Guarded<Pico, Unguarded>,
            #[cfg(not(target_arch = "arm"))]
            "picoalloc, masked" => Guarded<Pico, Masked>,
            #[cfg(all(target_os = "none", target_has_atomic = "ptr"))]
            "rusty_alloc" => Guarded<RustyAlloc, Unguarded>,
            #[cfg(all(target_os = "none", target_has_atomic = "ptr"))]
            "rusty_alloc, masked" => Guarded<RustyAlloc, Masked>,
        }
    };
}

/// Calls a macro with the table of what is measured on several cores. `Here` says which core this is.
#[macro_export]
macro_rules! for_each_shared_peer {
    ($macro:ident) => {
        $macro! {
            "CoresHeap" => ManyCores<Here>,
            "talc, spin lock" => Guarded<Talc, Spin>,
            "talc, ticket lock" => Guarded<Talc, Ticket>,
            "rlsf, ticket lock" => Guarded<Rlsf, Ticket>,
            "picoalloc, ticket lock" => Guarded<Pico, Ticket>,
            "buddy_system_allocator, ticket lock" => Guarded<Buddy, Ticket>,
            "linked_list_allocator, ticket lock" => Guarded<LinkedList, Ticket>,
        }
    };
}
