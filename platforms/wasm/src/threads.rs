//! [`Coreheap`] where workers share the module's memory.
//!
//! *Role*: tells the core crate's [`Beside`], which needs no more, one worker from another.
//!
//! A worker can be terminated at any instruction, and nobody is told that it ended. So it has nothing that must be given back: a
//! number, by the address of what is thread-local to it, and whoever gets that memory next has the number too. Workers that meet in a core heap
//! part from then on.
//!
//! Nothing is read or written that is thread-local: wasm-bindgen allocates a worker's stack before there is anything.

use coreheap::port::sync::{AtomicU8, Ordering};
use coreheap::{Beside, ContextNumber, Heap};

use crate::geometry::ModuleGeometry;
use crate::heap::ModuleHeap;
use crate::linear_memory::{LinearMemory, Module};
use crate::source::GrowingMemory;

/// The heap for workers on one shared memory: magazines for each, pages, large blocks.
pub type Coreheap<M = Module> = ModuleHeap<Heap<GrowingMemory<M>, WorkerCores, ModuleGeometry>>;

/// At most so many core heaps: more than most machines have cores. Those workers share one that are never at work together.
pub type WorkerCores = Beside<Worker, 32>;

impl Coreheap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self::growing_by(1)
    }

    /// An empty heap whose memory grows by at least so many pages of 64 KiB at a time.
    pub const fn growing_by(least_pages: usize) -> Self {
        Self::over(Module, least_pages)
    }
}

impl<M: LinearMemory> Coreheap<M> {
    /// An empty heap over the module's memory as `memory` sees it, which grows by at least so many pages at a time. For
    /// [`Discarding`](crate::Discarding).
    pub const fn over(memory: M, least_pages: usize) -> Self {
        ModuleHeap { heap: Heap::new(GrowingMemory::new(memory, least_pages), Beside::new()) }
    }
}

impl Default for Coreheap {
    fn default() -> Self {
        Self::new()
    }
}

/// What runs an instance of the module: a worker, or the main thread.
#[derive(Debug)]
pub enum Worker {}

/// Numbers for workers. Two that fall on the same entry share a core heap, which is slower, and nothing else.
static NUMBERS: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

impl Worker {
    #[inline(always)]
    fn entry() -> &'static AtomicU8 {
        // The uppermost bits of the product depend on every bit of the address.
        let spread = (local_address() as u32).wrapping_mul(0x9e37_79b9);
        &NUMBERS[(spread >> 24) as usize]
    }
}

impl ContextNumber for Worker {
    #[inline(always)]
    fn number() -> usize {
        Self::entry().load(Ordering::Relaxed).into()
    }

    #[cold]
    fn raced() {
        Self::entry().fetch_add(1, Ordering::Relaxed);
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "wasi")] {
        /// Where the C library keeps what it knows of this thread.
        #[inline(always)]
        fn local_address() -> usize {
            unsafe extern "C" {
                safe fn pthread_self() -> usize;
            }
            pthread_self()
        }
    } else {
        /// Where this worker's thread-local memory lies, or will.
        #[inline(always)]
        fn local_address() -> usize {
            #[thread_local]
            static PLACE: u8 = 0;
            (&raw const PLACE).addr()
        }
    }
}
