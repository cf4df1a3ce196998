//! [`BareHeap`]: a heap with its rule about contexts, made to be a static.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;

use coreheap::{PageSource, SmallHeap};

use crate::contexts::{AnyContext, Contexts, OneContext, Open};
use crate::memory::StaticMemory;

/// `BYTES` bytes, for any context on one core, interrupts included.
pub type Coreheap<const BYTES: usize> = BareHeap<StaticMemory<BYTES>, AnyContext>;

/// `BYTES` bytes, for one context at a time. An interrupt that uses the heap while it is in use panics.
pub type ExclusiveHeap<const BYTES: usize> = BareHeap<StaticMemory<BYTES>, OneContext>;

/// A heap for one core.
pub struct BareHeap<S: PageSource, X: Contexts> {
    contexts: X,
    heap: SmallHeap<S>,
}

impl<const BYTES: usize, X: Open> BareHeap<StaticMemory<BYTES>, X> {
    /// An empty heap, for a static. Nothing runs before its first use, and all of it is zero until then.
    pub const fn new() -> Self {
        Self::over(StaticMemory::new())
    }
}

impl<const BYTES: usize, X: Open> Default for BareHeap<StaticMemory<BYTES>, X> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> ExclusiveHeap<BYTES> {
    /// An empty heap, for a static, as [`Coreheap::new`].
    ///
    /// # Safety
    /// Calls come from one core, and from contexts that nest: a context that comes in between, as an interrupt does, ends before the
    /// other goes on. So tasks that preempt each other in turns must not use it.
    pub const unsafe fn new() -> Self {
        Self::over(StaticMemory::new())
    }
}

impl<S: PageSource, X: Open> BareHeap<S, X> {
    /// An empty heap that takes its memory from `source`, for any context.
    pub const fn with_source(source: S) -> Self {
        Self::over(source)
    }

    /// The heap, whose functions any context may call. Only in a static, because blocks may lie inside the value.
    pub fn heap(&'static self) -> &'static SmallHeap<S> {
        &self.heap
    }
}

impl<S: PageSource> BareHeap<S, OneContext> {
    /// An empty heap that takes its memory from `source`, for one context at a time.
    ///
    /// # Safety
    /// As for `ExclusiveHeap::new`.
    pub const unsafe fn exclusive(source: S) -> Self {
        Self::over(source)
    }
}

impl<S: PageSource, X: Contexts> BareHeap<S, X> {
    const fn over(source: S) -> Self {
        BareHeap { contexts: X::NEW, heap: SmallHeap::new(source) }
    }

    /// Calls the heap: for allocation that fails without a panic, statistics, and so on. A panic if [`OneContext`] was broken.
    ///
    /// Only in a static, because blocks may lie inside the value.
    pub fn with<R>(&'static self, work: impl FnOnce(&'static SmallHeap<S>) -> R) -> R {
        self.contexts.call(|| work(&self.heap))
    }
}

impl<S: PageSource, X: Contexts> fmt::Debug for BareHeap<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareHeap").finish_non_exhaustive()
    }
}

// SAFETY: the heap's own.
unsafe impl<S: PageSource, X: Contexts> GlobalAlloc for BareHeap<S, X> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.contexts.call(|| unsafe { self.heap.alloc(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.contexts.call(|| unsafe { self.heap.dealloc(pointer, layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.contexts.call(|| unsafe { self.heap.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.contexts.call(|| unsafe { self.heap.realloc(pointer, layout, new_size) })
    }
}
