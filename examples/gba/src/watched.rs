//! A heap that notes where its blocks lie, for the picture.

use alloc::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

use coreheap::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};

/// Memory for a heap.
#[repr(C, align(16))]
pub struct Memory<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: there is only its address to be had; whoever makes a region of it sees to the rest.
unsafe impl<const BYTES: usize> Sync for Memory<BYTES> {}

impl<const BYTES: usize> Memory<BYTES> {
    pub const fn new() -> Self {
        Memory(UnsafeCell::new([0; BYTES]))
    }

    pub const fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

/// A heap over `BYTES` bytes, and of each of their `CELLS` equal parts how much is in blocks.
pub struct Watched<H, const BYTES: usize, const CELLS: usize> {
    heap: H,
    memory: &'static Memory<BYTES>,
    used: [AtomicU16; CELLS],
    is_inside: AtomicBool,
}

/// The parts of a heap's memory.
pub struct Cells {
    /// Bytes in each.
    pub size: usize,
    /// Of those, how many are in blocks.
    pub used: &'static [AtomicU16],
}

impl<H: GlobalAlloc, const BYTES: usize, const CELLS: usize> Watched<H, BYTES, CELLS> {
    const CELL: usize = BYTES / CELLS;

    /// A heap, still empty, whose blocks lie in this memory.
    pub const fn new(heap: H, memory: &'static Memory<BYTES>) -> Self {
        let used = [const { AtomicU16::new(0) }; CELLS];
        Watched { heap, memory, used, is_inside: AtomicBool::new(false) }
    }

    /// The heap itself.
    pub fn heap(&self) -> &H {
        &self.heap
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
        let mut from = block.addr() - self.memory.start().addr();
        let end = from + size;
        while from < end {
            let next = ((from / Self::CELL + 1) * Self::CELL).min(end);
            change(&self.used[from / Self::CELL], (next - from) as u16);
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
unsafe impl<H: GlobalAlloc, const BYTES: usize, const CELLS: usize> GlobalAlloc for Watched<H, BYTES, CELLS> {
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
