//! Run it with `cargo run --release --example own_source`.
//!
//! How to put coreheap on memory of your own: a [`PageSource`] says where memory comes from, a [`CoreNumber`] which core this is.
//! Here the memory is a kernel's, in small: frames of 4 KiB, given out from the bottom up.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use coreheap::{CoreNumber, Heap, PageSource, Region, RegionRequest, Server, TryFlag};

const FRAME: usize = 4096;
const FRAMES: usize = 4096;

/// Physical memory, so to say.
#[repr(align(4096))]
struct Memory(UnsafeCell<[u8; FRAME * FRAMES]>);

// SAFETY: `Frames` hands out every frame once.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; FRAME * FRAMES]));

/// Gives out the frames of `MEMORY`. There is one value of this type, or frames would be given out twice.
struct Frames {
    next: AtomicUsize,
}

// SAFETY: frames are taken once and never given out again; nobody else uses `MEMORY`, which starts as zero.
unsafe impl PageSource for Frames {
    const FRESH_IS_ZERO: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        // As many as are needed, or 4 MiB; the heap would like far more, and is content with less.
        let count = request.min_size.div_ceil(FRAME).max(1024);
        let take = |next: usize| next.checked_add(count).filter(|end| *end <= FRAMES);
        let first = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        // SAFETY: the frame lies in the array.
        let start = NonNull::new(unsafe { MEMORY.0.get().cast::<u8>().add(first * FRAME) })?;
        Some(Region { start, size: count * FRAME })
    }
}

/// A kernel reads a register. A number for each thread does as well: it is a hint, and only speed depends on it.
struct ThreadNumber;

impl CoreNumber for ThreadNumber {
    fn core_number() -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
        NUMBER.try_with(|number| *number).unwrap_or(0)
    }
}

static HEAP: Heap<Frames, TryFlag<ThreadNumber, 4>, Server> = Heap::new(Frames { next: AtomicUsize::new(0) }, TryFlag::new());

fn main() {
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || work(thread));
        }
    });
    HEAP.assert_valid();
    println!("{} of {FRAMES} frames were given out.\n\n{}", HEAP.source().next.load(Ordering::Relaxed), HEAP.stats());
}

/// Allocates, fills, checks and frees 2,000 blocks of different sizes.
fn work(thread: u8) {
    let layouts = (1..=2000).map(|size| Layout::from_size_align(size, 8).expect("8 is a power of two"));
    let blocks: Vec<(NonNull<u8>, Layout)> = layouts.filter_map(|layout| Some((HEAP.allocate(layout)?, layout))).collect();
    assert_eq!(blocks.len(), 2000, "the frames were enough");
    for (block, layout) in &blocks {
        // SAFETY: the block is this thread's, and so long.
        unsafe { block.write_bytes(thread, layout.size()) };
    }
    for (block, layout) in blocks {
        // SAFETY: as above; it was filled, and it is given up here, once.
        unsafe {
            let bytes = std::slice::from_raw_parts(block.as_ptr(), layout.size());
            assert!(bytes.iter().all(|byte| *byte == thread), "somebody else wrote into a block");
            HEAP.deallocate(block, layout);
        }
    }
}
