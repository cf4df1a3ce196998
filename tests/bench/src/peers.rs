//! The allocators of the hosted benchmark, by name.
//!
//! *Role*: the choice that a measured process makes from its arguments. What is always there is coreheap, mimalloc and the
//! system's allocator; the feature `peers` adds more, as their crates ship them.

use std::alloc::System;

use mimalloc::MiMalloc;

use crate::subject::{COREHEAP, Visit};

/// One column of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called on the command line and in the tables.
    pub name: &'static str,
    /// Environment variables for a process that uses it.
    pub env: &'static [(&'static str, &'static str)],
}

const fn plain(name: &'static str) -> Peer {
    Peer { name, env: &[] }
}

/// What the ratios are taken to.
pub const REFERENCE: &str = "mimalloc";

/// All of them, in the order of the tables.
pub const PEERS: &[Peer] = &[
    plain("coreheap"),
    // The same allocator; the variable chooses the way that works on every system.
    Peer { name: "coreheap-portable", env: &[("COREHEAP_CORES", "portable")] },
    plain(REFERENCE),
    plain("system"),
    #[cfg(feature = "peers")]
    plain("snmalloc"),
    #[cfg(feature = "peers")]
    plain("jemalloc"),
    #[cfg(feature = "peers")]
    plain("rusty_alloc"),
    #[cfg(feature = "peers")]
    plain("talc"),
];

/// Visits the allocator of this name; `None` if there is none.
pub fn visit_named<V: Visit>(name: &str, visitor: &mut V) -> Option<V::Output> {
    Some(match name {
        "coreheap" | "coreheap-portable" => visitor.visit(&COREHEAP),
        REFERENCE => visitor.visit(&MiMalloc),
        "system" => visitor.visit(&System),
        #[cfg(feature = "peers")]
        "snmalloc" => visitor.visit(&snmalloc_rs::SnMalloc),
        #[cfg(feature = "peers")]
        "jemalloc" => visitor.visit(&tikv_jemallocator::Jemalloc),
        #[cfg(feature = "peers")]
        "rusty_alloc" => visitor.visit(&rusty_alloc_api::RustyAlloc),
        #[cfg(all(feature = "peers", target_os = "linux"))]
        "talc" => visitor.visit(arena::talc()),
        _ => return None,
    })
}

/// Asks an allocator to give back what it can; false if it has no such function here.
pub fn give_back(name: &str) -> bool {
    match name {
        "coreheap" | "coreheap-portable" => drop(COREHEAP.purge()),
        // SAFETY: a function of the library that this program is linked with, which asks for nothing.
        REFERENCE => unsafe { mi_collect(true) },
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: asks for nothing.
        "system" => drop(unsafe { libc::malloc_trim(0) }),
        #[cfg(feature = "peers")]
        // SAFETY: a name of the library's, which needs no value and gives none; 4096 stands for all arenas.
        "jemalloc" => unsafe {
            let none = std::ptr::null_mut();
            _rjem_mallctl(c"arena.4096.purge".as_ptr(), none, none.cast(), none, 0);
        },
        _ => return false,
    }
    true
}

unsafe extern "C" {
    fn mi_collect(force: bool);
    #[cfg(feature = "peers")]
    fn _rjem_mallctl(
        name: *const std::ffi::c_char,
        old: *mut std::ffi::c_void,
        old_size: *mut usize,
        new: *mut std::ffi::c_void,
        new_size: usize,
    ) -> std::ffi::c_int;
}

/// talc works on memory that it is given.
#[cfg(all(feature = "peers", target_os = "linux"))]
mod arena {
    use std::ptr::null_mut;
    use std::sync::OnceLock;

    use spinning_top::RawSpinlock;
    use talc::TalcLock;
    use talc::source::Manual;

    /// More than any workload needs; only what is touched takes memory.
    const BYTES: usize = 16 << 30;

    type Talc = TalcLock<RawSpinlock, Manual>;

    /// talc behind a spin lock, with its arena.
    pub fn talc() -> &'static Talc {
        static TALC: OnceLock<Talc> = OnceLock::new();
        TALC.get_or_init(|| {
            let talc = Talc::new(Manual);
            // SAFETY: a new mapping that lies where the system likes; it is this arena's for good.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
                let start = libc::mmap(null_mut(), BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
                assert_ne!(start, libc::MAP_FAILED, "no address space for talc's arena");
                talc.lock().claim(start.cast(), BYTES).expect("the arena is big enough for talc's own tables");
            }
            talc
        })
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::GlobalAlloc;

    use super::*;

    struct Name;

    impl Visit for Name {
        type Output = usize;

        fn visit<A: GlobalAlloc + Sync>(&mut self, _: &A) -> usize {
            1
        }
    }

    #[test]
    fn every_peer_can_be_visited() {
        assert!(PEERS.iter().all(|peer| visit_named(peer.name, &mut Name) == Some(1)));
        assert_eq!(visit_named("none such", &mut Name), None);
    }
}
