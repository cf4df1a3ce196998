//! The allocators that are measured.
//!
//! Each is reached as a Rust program reaches it, by `GlobalAlloc` and a `Layout` that is not known at compile time, behind the
//! same two functions that are never inlined: everybody pays for one call, and nobody is woven into the loop.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::hint::black_box;

use coreheap_os::Coreheap;
use mimalloc::MiMalloc;

/// The names, in the order of the results.
pub const NAMES: [&str; 4] = ["coreheap", "mimalloc", "system", "empty loop"];
/// The place of mimalloc in [`NAMES`].
pub const MIMALLOC: usize = 1;

/// coreheap on this operating system.
pub static COREHEAP: Coreheap = Coreheap::new();

/// Something that is called once with each allocator.
pub trait Visit {
    /// What comes out of a visit.
    type Output;
    /// Called with one allocator.
    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output;
}

/// Visits the allocator at a place in [`NAMES`].
///
/// # Panics
/// If there is none.
pub fn visit<V: Visit>(place: usize, visitor: &mut V) -> V::Output {
    match place {
        0 => visitor.visit(&COREHEAP),
        1 => visitor.visit(&MiMalloc),
        2 => visitor.visit(&System),
        3 => visitor.visit(&NOTHING),
        _ => panic!("there is no allocator {place}"),
    }
}

/// Allocates a block. One call for every allocator.
///
/// # Safety
/// As for `GlobalAlloc::alloc`.
#[inline(never)]
pub unsafe fn allocate<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { allocator.alloc(layout) }
}

/// Frees a block. One call for every allocator.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
pub unsafe fn deallocate<A: GlobalAlloc>(allocator: &A, block: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { allocator.dealloc(block, layout) }
}

/// Changes a block's size. One call for every allocator.
///
/// # Safety
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
pub unsafe fn reallocate<A: GlobalAlloc>(allocator: &A, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { allocator.realloc(block, layout, size) }
}

/// No allocator: every block is the same one. What is measured with it is the cost of the loop itself.
struct Nothing(UnsafeCell<[u64; 256]>);

static NOTHING: Nothing = Nothing(UnsafeCell::new([0; 256]));

// SAFETY: what is written into the block is never read.
unsafe impl Sync for Nothing {}

// SAFETY: none of the rules of `GlobalAlloc` but that blocks are big enough; the patterns only write to blocks, and on one thread.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        debug_assert!(layout.size() <= size_of_val(&self.0));
        black_box(self.0.get().cast())
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // Something must happen, or the compiler leaves the call out.
        black_box(block);
    }
}
