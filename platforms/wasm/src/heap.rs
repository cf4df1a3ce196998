//! [`Coreheap`] and [`SmallCoreheap`]: the ready heaps.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;

use coreheap::SmallHeap;
#[cfg(not(threads))]
use coreheap::{Heap, SingleCore};

#[cfg(not(threads))]
use crate::geometry::ModuleGeometry;
use crate::linear_memory::Module;
use crate::source::GrowingMemory;

/// The fast heap: magazines, pages, large blocks.
#[cfg(not(threads))]
pub type Coreheap = ModuleHeap<Heap<GrowingMemory<Module>, SingleCore, ModuleGeometry>>;

/// The heap of little code, for modules that allocate little.
pub type SmallCoreheap = ModuleHeap<SmallHeap<GrowingMemory<Module>>>;

/// A heap over the module's own memory, made to be a static.
pub struct ModuleHeap<H> {
    pub(crate) heap: H,
}

#[cfg(not(threads))]
impl Coreheap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self::growing_by(1)
    }

    /// An empty heap whose memory grows by at least so many pages of 64 KiB at a time.
    pub const fn growing_by(least_pages: usize) -> Self {
        // SAFETY: a module without atomics has one thread, and nothing interrupts it.
        let cores = unsafe { SingleCore::new() };
        ModuleHeap { heap: Heap::new(GrowingMemory::new(Module, least_pages), cores) }
    }
}

impl SmallCoreheap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self::growing_by(1)
    }

    /// An empty heap whose memory grows by at least so many pages of 64 KiB at a time.
    pub const fn growing_by(least_pages: usize) -> Self {
        ModuleHeap { heap: SmallHeap::new(GrowingMemory::new(Module, least_pages)) }
    }
}

impl<H> ModuleHeap<H> {
    /// The heap: for allocation that fails without a panic, statistics, and so on.
    pub const fn heap(&self) -> &H {
        &self.heap
    }
}

#[cfg(not(threads))]
impl Default for Coreheap {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for SmallCoreheap {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> fmt::Debug for ModuleHeap<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleHeap").finish_non_exhaustive()
    }
}

// SAFETY: the heap's own.
unsafe impl<H: GlobalAlloc> GlobalAlloc for ModuleHeap<H> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.heap.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.realloc(pointer, layout, new_size) }
    }
}
