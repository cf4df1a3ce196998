//! [`List`]: the heap for the least memory, by the crate `linked_list_allocator`.
//!
//! *Role*: below some 2 KiB tables and tags take too much of the memory; this list of free blocks lies in them. A call looks at one free block after
//! the other, and finds no mistakes of the program.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::{NonNull, null_mut};

use coreheap::port::no_unwind;
use coreheap::{Exclusion, NestedContexts, PageSource, RegionRequest};

use crate::heap::BareHeap;
use crate::memory::StaticMemory;

/// `BYTES` bytes, best below 2 KiB, for one context at a time. An interrupt that uses the heap while it is in use panics.
pub type ListHeap<const BYTES: usize> = BareHeap<List<StaticMemory<BYTES>, NestedContexts>>;

impl<const BYTES: usize> ListHeap<BYTES> {
    /// An empty heap, for a static.
    ///
    /// # Safety
    /// As for [`ExclusiveHeap::new`](crate::ExclusiveHeap::new).
    pub const unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        BareHeap { heap: List::new(StaticMemory::new(), unsafe { NestedContexts::new() }) }
    }
}

/// A list of free blocks in the first region that `S` gives; no other is asked for. The last 256 bytes of the address space are not used, and what
/// is aligned to more is refused in a region that reaches so far.
pub struct List<S, X> {
    source: S,
    exclusion: X,
    blocks: UnsafeCell<linked_list_allocator::Heap>,
}

// SAFETY: the list is only used by a context that is alone (X1).
unsafe impl<S: PageSource, X: Exclusion + Sync> Sync for List<S, X> {}

impl<S: PageSource, X: Exclusion> List<S, X> {
    /// The least region, in bytes: the crate's list must have room for one free block.
    const LEAST: usize = 4 * size_of::<usize>();

    /// Bytes at the end of the address space that are not used: the crate adds alignments to addresses, and compares the sums.
    const END: usize = 256;

    /// A heap without memory yet.
    pub const fn new(source: S, exclusion: X) -> Self {
        const { assert!(!S::COMMITS, "`List` is for memory that needs no commit") };
        List { source, exclusion, blocks: UnsafeCell::new(linked_list_allocator::Heap::empty()) }
    }

    /// Allocates `layout.size()` bytes at `layout.align()`; `None` if no free block is long enough. Takes time in proportion to their number.
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let first_fit = |blocks: &mut linked_list_allocator::Heap| {
            // The crate looks behind a free block's first two words for an aligned address.
            let furthest = blocks.top().addr().checked_add(2 * size_of::<usize>())?.checked_add(layout.align());
            furthest.and_then(|_| blocks.allocate_first_fit(layout).ok())
        };
        let served = self.open(|blocks| (blocks.size() > 0).then(|| first_fit(blocks)));
        served.unwrap_or_else(|| {
            let request =
                RegionRequest { min_size: Self::LEAST, preferred_size: usize::MAX, preferred_align: 1, is_for_one_block: false };
            let region = self.source.reserve(request);
            self.open(|blocks| {
                // Another context may have been faster: then its region stays, and this one is not used.
                if let Some(region) = region.filter(|_| blocks.size() == 0) {
                    let size = region.size.min((usize::MAX - Self::END).saturating_sub(region.start.addr().get()));
                    if size < Self::LEAST {
                        return None;
                    }
                    // SAFETY: memory of this heap's own, for good.
                    unsafe { blocks.init(region.start.as_ptr(), size) };
                }
                if blocks.size() > 0 { first_fit(blocks) } else { None }
            })
        })
    }

    /// Gives a block back. Takes time in proportion to the number of free blocks.
    ///
    /// # Safety
    /// `pointer` came from this heap with this layout, and is not used any more.
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        self.open(|blocks| unsafe { blocks.deallocate(pointer, layout) });
    }

    /// Bytes that are in no block.
    pub fn free(&self) -> usize {
        self.open(|blocks| blocks.free())
    }

    fn open<R>(&self, work: impl FnOnce(&mut linked_list_allocator::Heap) -> R) -> R {
        // SAFETY: X1: nobody else has it now.
        self.exclusion.alone(|| work(unsafe { &mut *self.blocks.get() }))
    }
}

impl<S, X> fmt::Debug for List<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").finish_non_exhaustive()
    }
}

// SAFETY: blocks fit their layouts, and overlap no other. What panics ends the process.
unsafe impl<S: PageSource, X: Exclusion + Sync> GlobalAlloc for List<S, X> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwind(|| self.allocate(layout)).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; a block is never at null.
        no_unwind(|| unsafe { self.deallocate(NonNull::new_unchecked(pointer), layout) });
    }
}
