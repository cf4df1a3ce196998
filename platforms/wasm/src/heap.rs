//! [`Coreheap`] and [`SmallCoreheap`]: the ready heaps.

use core::alloc::GlobalAlloc;
use core::fmt;

use coreheap::{DenseHeap, Unshared};

use crate::linear_memory::{LinearMemory, Module};
use crate::whole_pages::WholePages;

/// Freed blocks are kept ready if they are shorter than 16 KiB.
#[cfg(not(threads))]
const READY: usize = 72;

/// The fast heap: blocks that are freed are ready for the next request of about their size.
#[cfg(not(threads))]
pub type Coreheap<M = Module> = ModuleHeap<DenseHeap<WholePages<M>, Unshared, READY>>;

/// The heap of little code, for modules that allocate little.
pub type SmallCoreheap<M = Module> = ModuleHeap<DenseHeap<WholePages<M>, Unshared>>;

/// A heap over the module's own memory, made to be a static.
pub struct ModuleHeap<H> {
    pub(crate) heap: H,
}

impl<const READY: usize> ModuleHeap<DenseHeap<WholePages<Module>, Unshared, READY>> {
    /// An empty heap.
    pub const fn new() -> Self {
        // All zero, a static of it takes no bytes in the module.
        Self::growing_by(0)
    }

    /// An empty heap whose memory grows by at least so many pages of 64 KiB at a time.
    pub const fn growing_by(least_pages: usize) -> Self {
        Self::over(Module, least_pages)
    }
}

impl<M: LinearMemory, const READY: usize> ModuleHeap<DenseHeap<WholePages<M>, Unshared, READY>> {
    /// An empty heap over the module's memory as `memory` sees it, which grows by at least so many pages at a time. For
    /// [`Discarding`](crate::Discarding).
    pub const fn over(memory: M, least_pages: usize) -> Self {
        const { assert!(!cfg!(threads), "this heap is for modules of one thread: with workers, use coreheap_wasm::Coreheap") };
        // SAFETY: a module without atomics has one thread, and nothing interrupts it.
        let unshared = unsafe { Unshared::new() };
        ModuleHeap { heap: DenseHeap::new(WholePages::new(memory, least_pages), unshared) }
    }
}

impl<const READY: usize> Default for ModuleHeap<DenseHeap<WholePages<Module>, Unshared, READY>> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> ModuleHeap<H> {
    /// The heap: for allocation that fails without a panic, statistics, and so on.
    pub const fn heap(&self) -> &H {
        &self.heap
    }
}

impl<H> fmt::Debug for ModuleHeap<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleHeap").finish_non_exhaustive()
    }
}

coreheap::port::forward_global_alloc!([H: GlobalAlloc] ModuleHeap<H>, heap);
