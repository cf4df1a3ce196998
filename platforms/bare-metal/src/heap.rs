//! [`BareHeap`]: a heap for one core, made to be a static.

use core::alloc::GlobalAlloc;
use core::fmt;

use coreheap::{HeaderlessHeap, NestedContexts, PageSource, SmallHeap};

#[cfg(feature = "critical-section")]
use coreheap::{Exclusion, port::no_unwind};

use crate::memory::StaticMemory;

/// `BYTES` bytes, for any context on one core, interrupts included.
pub type Coreheap<const BYTES: usize> = BareHeap<SmallHeap<StaticMemory<BYTES>>>;

/// `BYTES` bytes, for one context at a time. An interrupt that uses the heap while it is in use panics.
pub type ExclusiveHeap<const BYTES: usize> = BareHeap<HeaderlessHeap<StaticMemory<BYTES>, NestedContexts>>;

/// `BYTES` bytes, for any context on one core: interrupts wait while the heap is in use, up to 1,200 instructions. Less code than [`Coreheap`],
/// and more fits into the memory.
#[cfg(feature = "critical-section")]
pub type MaskedHeap<const BYTES: usize> = BareHeap<HeaderlessHeap<StaticMemory<BYTES>, Masked>>;

/// A heap for one core.
pub struct BareHeap<H> {
    pub(crate) heap: H,
}

impl<const BYTES: usize> Coreheap<BYTES> {
    /// An empty heap, for a static. Nothing runs before its first use, and all of it is zero until then.
    pub const fn new() -> Self {
        Self::with_source(StaticMemory::new())
    }
}

impl<const BYTES: usize> Default for Coreheap<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: PageSource> BareHeap<SmallHeap<S>> {
    /// An empty heap that takes its memory from `source`, for any context.
    pub const fn with_source(source: S) -> Self {
        BareHeap { heap: SmallHeap::new(source) }
    }
}

impl<const BYTES: usize> ExclusiveHeap<BYTES> {
    /// An empty heap, for a static, as [`Coreheap::new`].
    ///
    /// # Safety
    /// Calls come from one core, and from contexts that nest: a context that comes in between, as an interrupt does, ends before the
    /// other goes on. So tasks that preempt each other in turns must not use it.
    pub const unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::exclusive(StaticMemory::new()) }
    }
}

impl<S: PageSource> BareHeap<HeaderlessHeap<S, NestedContexts>> {
    /// An empty heap that takes its memory from `source`, for one context at a time.
    ///
    /// # Safety
    /// As for `ExclusiveHeap::new`.
    pub const unsafe fn exclusive(source: S) -> Self {
        // SAFETY: the caller's promise.
        BareHeap { heap: HeaderlessHeap::new(source, unsafe { NestedContexts::new() }) }
    }
}

#[cfg(feature = "critical-section")]
impl<const BYTES: usize> MaskedHeap<BYTES> {
    /// An empty heap, for a static, as [`Coreheap::new`].
    pub const fn new() -> Self {
        BareHeap { heap: HeaderlessHeap::new(StaticMemory::new(), Masked) }
    }
}

#[cfg(feature = "critical-section")]
impl<const BYTES: usize> Default for MaskedHeap<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// Interrupts wait, by the `critical-section` crate. A panic inside ends the process.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
pub struct Masked;

// SAFETY: X1: that is what a critical section is; after a panic nobody runs.
#[cfg(feature = "critical-section")]
unsafe impl Exclusion for Masked {
    #[inline]
    fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        critical_section::with(|_| no_unwind(work))
    }
}

impl<H> BareHeap<H> {
    /// The heap: for allocation that fails without a panic, statistics, and so on.
    ///
    /// Only in a static, because blocks may lie inside the value.
    pub const fn heap(&'static self) -> &'static H {
        &self.heap
    }
}

impl<H> fmt::Debug for BareHeap<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareHeap").finish_non_exhaustive()
    }
}

coreheap::port::forward_global_alloc!([H: GlobalAlloc] BareHeap<H>, heap);
