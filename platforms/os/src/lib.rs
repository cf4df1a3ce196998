//! The [coreheap] allocator on hosted systems.
//!
//! ```
//! #[global_allocator]
//! static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
//!
//! # fn main() {
//! let numbers: Vec<u32> = (0..1000).collect();
//! assert_eq!(numbers.iter().sum::<u32>(), 499_500);
//! println!("{:?}\n{}", HEAP.cores_kind(), HEAP.stats());
//! # }
//! ```
//!
//! *Role*: the port for systems with virtual memory and threads. It adds to the core crate where memory comes from ([`HostPages`]:
//! `mmap`, or `VirtualAlloc` on Windows), how contexts are kept off each other's magazines ([`HostCores`]), and a background thread that
//! gives idle memory back ([`Purger`], feature `std`). What differs between systems is in `unix` and `windows`, under the same names.
//!
//! # Who may call what
//!
//! | context | allocate, free, purge, statistics |
//! |---|---|
//! | any thread of the C library's, while it starts and ends as well | yes |
//! | signal handlers, whatever they interrupt | yes, once the heap was used: the first use of all registers a handler for forks, which takes a lock of the C library |
//! | a thread that a library's constructor waits for | yes, the first use of all as well: on Unix nothing is asked of the dynamic loader |
//! | the child of `fork` | yes; in large pages only while the system has some for it (`Mmap::large`) |
//! | the child of `fork` called in a signal handler that interrupted the heap | no |
//! | the child of `vfork` before `exec` | yes where `coreheap-c` is in charge, which has a `vfork` of its own; else no, unless [`OsHeap::use_portable_cores`] |
//! | a thread made by the raw `clone` system call | no, unless it has a thread pointer of its own and [`OsHeap::use_portable_cores`], or [`CoresKind::Marks`] is used |
//! | several copies of this crate in one process (`dlopen`) | yes; each has its own heap, and frees its own blocks only |
//!
//! What other threads were just doing to a heap when one thread calls `fork` stays half done in the child: the heap works on, and
//! the blocks they had in hand are lost there. Handlers for forks may allocate, whenever they were registered. A thread that such a handler
//! starts in the child may use the heap when `fork` has returned.
//!
//! On Windows: any thread, under the loader's lock, in exception handlers, and while the process ends and other threads were stopped wherever they
//! were. But the first use of all, and each that needs a new region, looks functions up, for which the system takes the loader's lock: `DllMain` and
//! callbacks for threads may allocate, but must not wait for another thread that does. A library with a heap may be unloaded when nobody uses the heap
//! any more; its memory stays.
//!
//! A thread that is ended inside a pop or push, by `TerminateThread` or as the child of `vfork`, leaves that core heap out of use, with what is ready
//! in it; where core heaps are leased, a later thread in the same place has none.
//!
//! Every call keeps `errno`, on Windows `GetLastError`.

#![no_std]
#![deny(missing_docs)]

#[cfg(any(test, feature = "std"))]
extern crate std;

use core::fmt;
use core::ops::Deref;

pub use coreheap;
use coreheap::{Heap, PageSource};

mod cores;
mod holder;
#[cfg(any(feature = "std", unix))]
mod idle;
mod leases;
mod marks;
#[cfg(feature = "std")]
mod purger;
mod sizes;

cfg_if::cfg_if! {
    if #[cfg(windows)] {
        mod windows;
        use windows as system;
        pub use windows::{LargePages, VirtualAlloc};
    } else {
        mod unix;
        use unix as system;
        pub use unix::{LargePage, Mmap, NodeError, Reserved};
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(
        target_os = "linux",
        any(target_env = "gnu", all(target_env = "musl", target_feature = "crt-static")),
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        target_endian = "little",
        not(miri)
    ))] {
        mod rseq;
    } else {
        #[path = "rseq/none.rs"]
        mod rseq;
    }
}

pub use cores::{CoresKind, HostCores};
/// For ports that are built on this one, without promises.
#[cfg(any(feature = "std", unix))]
#[doc(hidden)]
pub use idle::IdleWatch;
#[cfg(feature = "std")]
pub use purger::Purger;
pub use system::HostPages;
/// For ports that are built on this one, without promises.
#[cfg(all(target_os = "linux", not(miri)))]
#[doc(hidden)]
pub use unix::{generation, loaded::Loaded, read_start, variable_is};

cfg_if::cfg_if! {
    if #[cfg(target_env = "musl")] {
        /// How big everything is. On musl std's unwinder asks for its exception object at 8 bytes and uses it as if it lay at 16.
        pub type HostGeometry = coreheap::AlignedServer;
    } else {
        /// How big everything is.
        pub type HostGeometry = coreheap::Server;
    }
}

/// The allocator for hosted programs, with memory from [`HostPages`]. Made to be a `static`.
pub type Coreheap = OsHeap<HostPages>;

/// The allocator for hosted programs, with memory from any source, for example a
/// [`Limited<HostPages>`](coreheap::sources::Limited).
///
/// It is a [`Heap`], whose functions it has. `new` needs no memory and runs nothing; everything is set up on first use, by
/// whatever thread comes first.
pub struct OsHeap<S: PageSource> {
    heap: Heap<S, HostCores, HostGeometry>,
}

impl Coreheap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self::with_source(HostPages::new())
    }
}

impl<S: PageSource> OsHeap<S> {
    /// An empty heap that takes its memory from `source`.
    pub const fn with_source(source: S) -> Self {
        OsHeap { heap: Heap::new(source, HostCores::new()) }
    }

    /// The heap, as every port calls it. Its functions are this value's as well.
    #[inline(always)]
    pub const fn heap(&self) -> &Heap<S, HostCores, HostGeometry> {
        &self.heap
    }

    /// How this heap keeps contexts off each other's magazines; decides it if this is the heap's first use.
    pub fn cores_kind(&self) -> CoresKind {
        self.heap.cores().kind()
    }

    /// Does without restartable sequences, whatever the system offers. Effective only before the heap's first use; returns whether
    /// this heap does without now. The environment variable `COREHEAP_CORES=portable` does the same from outside.
    pub fn use_portable_cores(&self) -> bool {
        self.heap.cores().use_portable()
    }
}

impl Default for Coreheap {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> Deref for OsHeap<S> {
    type Target = Heap<S, HostCores, HostGeometry>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        self.heap()
    }
}

impl<S: PageSource> fmt::Debug for OsHeap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OsHeap").finish_non_exhaustive()
    }
}

coreheap::port::forward_global_alloc!([S: PageSource] OsHeap<S>, heap);
