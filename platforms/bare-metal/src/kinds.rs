//! [`MixedHeap`]: several kinds of memory under one heap.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ops::BitOr;
use core::ptr::{NonNull, null_mut};

use coreheap::port::no_unwind;
use coreheap::{PageSource, SmallHeap};

/// What memory is good for: a set of properties. A board may give names to [`Kind::own`] ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind(u32);

impl Kind {
    /// Nothing in particular: all memory will do.
    pub const ANY: Kind = Kind(0);
    /// Without wait states.
    pub const FAST: Kind = Kind(1);
    /// Devices read and write it.
    pub const DMA: Kind = Kind(2);
    /// Outside the chip.
    pub const EXTERNAL: Kind = Kind(4);

    /// A property of the board's own, by its number, 0 to 28.
    pub const fn own(number: u32) -> Kind {
        assert!(number <= 28, "there are 29 properties of one's own");
        Kind(8 << number)
    }

    /// All properties of both.
    pub const fn and(self, other: Kind) -> Kind {
        Kind(self.0 | other.0)
    }

    /// Whether memory of this kind will do where `wanted` is asked for.
    pub const fn has(self, wanted: Kind) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl BitOr for Kind {
    type Output = Kind;

    fn bitor(self, other: Kind) -> Kind {
        self.and(other)
    }
}

/// One of the memories of a [`MixedHeap`].
pub struct Memory<S: PageSource> {
    kind: Kind,
    heap: SmallHeap<S>,
}

impl<S: PageSource> Memory<S> {
    /// Memory of this kind, from `source`.
    pub const fn new(kind: Kind, source: S) -> Self {
        Memory { kind, heap: SmallHeap::new(source) }
    }
}

/// `N` memories as one heap, for any context. What asks for no kind, as the global allocator, is served by the first that has room, in their
/// order; a block can be freed without a word about where it is, and moves to another memory when it grows, if need be.
pub struct MixedHeap<S: PageSource, const N: usize> {
    memories: [Memory<S>; N],
}

impl<S: PageSource, const N: usize> MixedHeap<S, N> {
    /// A heap over these memories.
    pub const fn new(memories: [Memory<S>; N]) -> Self {
        MixedHeap { memories }
    }

    /// The heaps in memory of this kind, in their order: each has functions of its own, and a reference to one is an `Allocator`.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &SmallHeap<S>> {
        self.memories.iter().filter(move |memory| memory.kind.has(kind)).map(|memory| &memory.heap)
    }

    /// Allocates in memory of this kind; `None` if none of it has room.
    pub fn allocate(&self, kind: Kind, layout: Layout) -> Option<NonNull<u8>> {
        self.of(kind).find_map(|heap| heap.allocate(layout))
    }

    /// Gives a block back, whatever memory it is in. One of none of them is a misuse of the first.
    ///
    /// # Safety
    /// As for [`SmallHeap::deallocate`].
    pub unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.home_of(pointer).heap.deallocate(pointer, layout) }
    }

    /// Changes the size of a block that is to be in memory of this kind then. It stays where it is if it can, else in its memory, and else it moves to
    /// another.
    ///
    /// # Safety
    /// As for [`SmallHeap::reallocate`].
    pub unsafe fn reallocate(&self, kind: Kind, pointer: NonNull<u8>, layout: Layout, new_size: usize) -> Option<NonNull<u8>> {
        let (home, new_layout) = (self.home_of(pointer), Layout::from_size_align(new_size, layout.align()).ok()?);
        let may_stay = home.kind.has(kind);
        // SAFETY: the caller's promise.
        if may_stay && unsafe { home.heap.resize(pointer, layout, new_layout) }? {
            return Some(pointer);
        }
        let at_home = if may_stay { home.heap.allocate(new_layout) } else { None };
        let target = at_home.or_else(|| self.allocate(kind, new_layout))?;
        // SAFETY: two blocks that this context owns, each at least so long; then the old one is given up.
        unsafe {
            target.copy_from_nonoverlapping(pointer, layout.size().min(new_size));
            home.heap.deallocate(pointer, layout);
        }
        Some(target)
    }

    /// The memory that a block is in.
    fn home_of(&self, pointer: NonNull<u8>) -> &Memory<S> {
        self.memories.iter().find(|memory| memory.heap.contains(pointer.as_ptr())).unwrap_or(&self.memories[0])
    }
}

impl<S: PageSource, const N: usize> fmt::Debug for MixedHeap<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MixedHeap").finish_non_exhaustive()
    }
}

// A block that grows is of no kind here, whatever it was allocated as: that a program asked for one, only the program knows.
// SAFETY: the heaps' own promises: blocks of one are given back to the same.
unsafe impl<S: PageSource, const N: usize> GlobalAlloc for MixedHeap<S, N> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwind(|| self.allocate(Kind::ANY, layout)).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; a block is never at null.
        no_unwind(|| unsafe { self.deallocate(NonNull::new_unchecked(pointer), layout) });
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`.
        let moved = no_unwind(|| unsafe { self.reallocate(Kind::ANY, NonNull::new_unchecked(pointer), layout, new_size) });
        moved.map_or(null_mut(), NonNull::as_ptr)
    }
}
