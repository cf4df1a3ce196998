//! A heap that notes where its blocks lie, for the picture.

use alloc::alloc::{GlobalAlloc, Layout};

use coreheap::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use coreheap::{Geometry, Heap, NoMagazines, Tiny};
use coreheap_bare::{Coreheap, StaticMemory};

/// A heap of `BYTES` bytes, and of each of its `CELLS` equal parts how many bytes are in blocks.
#[repr(C)]
pub struct Watched<const BYTES: usize, const CELLS: usize, G: Geometry = Tiny> {
    heap: Coreheap<BYTES, G>,
    used: [AtomicU16; CELLS],
    is_inside: AtomicBool,
}

/// The parts of a heap's memory.
pub struct Cells {
    /// Bytes in each.
    pub size: usize,
    used: &'static [AtomicU16],
}

impl Cells {
    /// How many bytes of each are in blocks.
    pub fn used(&self) -> impl ExactSizeIterator<Item = usize> {
        self.used.iter().map(|used| usize::from(used.load(Relaxed)))
    }
}

impl<const BYTES: usize, const CELLS: usize, G: Geometry> Watched<BYTES, CELLS, G> {
    const CELL: usize = BYTES / CELLS;

    /// An empty heap, for a static.
    pub const fn new() -> Self {
        let used = [const { AtomicU16::new(0) }; CELLS];
        Watched { heap: Coreheap::new(), used, is_inside: AtomicBool::new(false) }
    }

    /// The heap itself.
    pub fn heap(&'static self) -> &'static Heap<StaticMemory<BYTES>, NoMagazines, G> {
        self.heap.heap()
    }

    /// Its parts.
    pub fn cells(&'static self) -> Cells {
        Cells { size: Self::CELL, used: &self.used }
    }

    /// Whether a call is under way.
    pub fn is_inside(&self) -> bool {
        self.is_inside.load(Relaxed)
    }

    fn call<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.is_inside.load(Relaxed);
        self.is_inside.store(true, Relaxed);
        let result = work();
        self.is_inside.store(before, Relaxed);
        result
    }

    /// Notes a block, byte for byte.
    fn note(&self, block: *mut u8, size: usize, change: impl Fn(&AtomicU16, u16)) {
        if block.is_null() {
            return;
        }
        let start = block.addr() - (&raw const self.heap).addr();
        let (mut from, end) = (start, start + size);
        while from < end {
            let next = ((from / Self::CELL + 1) * Self::CELL).min(end);
            // The value is some words longer than its bytes.
            change(&self.used[(from / Self::CELL).min(CELLS - 1)], (next - from) as u16);
            from = next;
        }
    }

    fn note_more(&self, block: *mut u8, size: usize) {
        self.note(block, size, |used, bytes| _ = used.fetch_add(bytes, Relaxed));
    }

    fn note_less(&self, block: *mut u8, size: usize) {
        self.note(block, size, |used, bytes| _ = used.fetch_sub(bytes, Relaxed));
    }
}

// SAFETY: the heap's.
unsafe impl<const BYTES: usize, const CELLS: usize, G: Geometry> GlobalAlloc for Watched<BYTES, CELLS, G> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = self.call(|| unsafe { self.heap.alloc(layout) });
        self.note_more(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Before somebody else has it.
        self.note_less(block, layout.size());
        // SAFETY: the caller's promise.
        self.call(|| unsafe { self.heap.dealloc(block, layout) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.note_less(block, layout.size());
        // SAFETY: the caller's promise.
        let moved = self.call(|| unsafe { self.heap.realloc(block, layout, new_size) });
        if moved.is_null() {
            self.note_more(block, layout.size());
        }
        self.note_more(moved, new_size);
        moved
    }
}
