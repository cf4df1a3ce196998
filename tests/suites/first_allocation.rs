//! The first allocation of all, while others come: threads that are as fast, and interrupts. None is refused.

#[cfg(all(unix, not(miri)))]
mod faults;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coreheap::sources::FixedRegion;
use coreheap::{Compact, CoreNumber, Heap, PageSource, Region, RegionRequest, SmallHeap, Tiny, TryFlag};
use coreheap_tests::blocks::holds;

/// Bytes of a heap.
const SIZE: usize = if cfg!(miri) { 96 << 10 } else { 4 << 20 };

/// All contexts are on one core.
struct OneCore;

impl CoreNumber for OneCore {
    fn core_number() -> usize {
        0
    }
}

type Paged<S, G> = Heap<S, TryFlag<OneCore, 1>, G>;

/// A window of a kernel's: OS pages that must be committed, each once.
struct Committed {
    region: FixedRegion,
    pages: Box<[AtomicBool]>,
}

impl Committed {
    const PAGE: usize = 4096;

    fn set(&self, start: NonNull<u8>, size: usize, is_committed: bool) {
        let region = self.region.first_region(0).expect("there is one");
        let first = (start.addr().get() - region.start.addr().get()) / Self::PAGE;
        for page in &self.pages[first..first + size / Self::PAGE] {
            assert_ne!(page.swap(is_committed, Ordering::Relaxed), is_committed, "a page is committed or decommitted twice");
        }
    }
}

// SAFETY: the region's own; it counts its commits.
unsafe impl PageSource for Committed {
    const FRESH_IS_ZERO: bool = true;
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DECOMMITTED_IS_ZERO: bool = true;
    const OS_PAGE_SIZE: usize = Self::PAGE;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.region.reserve(request)
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        self.region.first_region(min_size)
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.set(start, size, true);
        // SAFETY: the caller's pages.
        unsafe { start.write_bytes(0, size) };
        true
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.set(start, size, false);
        // SAFETY: as above.
        unsafe { start.write_bytes(0xdd, size) };
        true
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.region.pointer_at(address)
    }
}

/// A heap for all contexts, over memory that the test gives it.
trait Shared: GlobalAlloc + Sync + Sized {
    /// # Safety
    /// So much memory is there as long as the heap is, for it alone.
    unsafe fn over(memory: *mut u8) -> Self;

    fn check(&self);
}

macro_rules! implement_shared {
    ($heap:ty, $source:ident, $($cores:expr)?) => {
        impl Shared for $heap {
            unsafe fn over(memory: *mut u8) -> Self {
                // SAFETY: the caller's promise.
                <$heap>::new(unsafe { $source(memory) } $(, $cores)?)
            }

            fn check(&self) {
                self.assert_valid();
            }
        }
    };
}

/// A region that starts and ends at an odd address.
unsafe fn fixed(memory: *mut u8) -> FixedRegion {
    // SAFETY: the caller's memory.
    unsafe { FixedRegion::over(memory.add(1), SIZE - 2) }
}

unsafe fn committed(memory: *mut u8) -> Committed {
    let pages = (0..SIZE / Committed::PAGE).map(|_| AtomicBool::new(false)).collect();
    // SAFETY: the caller's memory.
    Committed { region: unsafe { FixedRegion::over(memory, SIZE) }, pages }
}

implement_shared!(SmallHeap<FixedRegion>, fixed,);
implement_shared!(Paged<FixedRegion, Tiny>, fixed, TryFlag::new());
implement_shared!(Paged<FixedRegion, Compact>, fixed, TryFlag::new());
implement_shared!(Paged<Committed, Tiny>, committed, TryFlag::new());
implement_shared!(Paged<Committed, Compact>, committed, TryFlag::new());

const LAYOUT: Layout = Layout::new::<[u64; 5]>();

/// Allocates a block and fills it.
fn allocate(heap: &impl GlobalAlloc, byte: u8) -> Option<NonNull<u8>> {
    // SAFETY: not of size 0, and the block's bytes.
    unsafe {
        let block = NonNull::new(heap.alloc(LAYOUT))?;
        block.write_bytes(byte, LAYOUT.size());
        Some(block)
    }
}

/// Allocates more blocks beside these, and most of the memory as one; checks and frees all.
fn finish(heap: &impl Shared, blocks: Vec<(NonNull<u8>, u8)>) {
    let more = (0..if cfg!(miri) { 10 } else { 500 }).map(|_| (allocate(heap, 0x77).expect("room"), 0x77));
    let blocks: Vec<_> = blocks.into_iter().chain(more).collect();
    // In so little memory as Miri's, what several contexts began counts.
    let most = Layout::from_size_align(if cfg!(miri) { SIZE / 2 } else { SIZE / 4 * 3 }, 8).expect("a layout");
    // SAFETY: not of size 0; a block of this heap.
    unsafe {
        let block = heap.alloc(most);
        assert!(!block.is_null(), "nothing big is left in one piece");
        heap.dealloc(block, most);
    }
    for (block, byte) in &blocks {
        // SAFETY: a live block of this layout.
        assert!(unsafe { holds(*block, LAYOUT.size(), *byte) }, "a block was overwritten");
    }
    heap.check();
    // SAFETY: live blocks of this layout.
    blocks.iter().for_each(|(block, _)| unsafe { heap.dealloc(block.as_ptr(), LAYOUT) });
    heap.check();
}

fn start_together<H: Shared>() {
    const THREADS: usize = 3;
    let layout = Layout::from_size_align(SIZE, 4096).expect("a layout");
    // SAFETY: not of size 0.
    let memory = unsafe { std::alloc::alloc(layout) };
    // SAFETY: the memory, all of it.
    unsafe { memory.write_bytes(0xa5, SIZE) };
    for _ in 0..if cfg!(miri) { 1 } else { 50 } {
        // SAFETY: nobody else uses it, and it stays.
        let heap = unsafe { H::over(memory) };
        let ready = AtomicUsize::new(0);
        let blocks = std::thread::scope(|scope| {
            let first = |byte| {
                let (heap, ready) = (&heap, &ready);
                scope.spawn(move || {
                    ready.fetch_add(1, Ordering::Relaxed);
                    while ready.load(Ordering::Relaxed) < THREADS {
                        std::thread::yield_now();
                    }
                    Passed(allocate(heap, byte).expect("nothing is used yet"), byte)
                })
            };
            let threads: Vec<_> = (0..THREADS as u8).map(first).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        finish(&heap, blocks.into_iter().map(|Passed(block, byte)| (block, byte)).collect());
    }
    // SAFETY: allocated above.
    unsafe { std::alloc::dealloc(memory, layout) };
}

/// A block on its way to another thread, and what is in it.
struct Passed(NonNull<u8>, u8);

// SAFETY: whoever has it owns the block.
unsafe impl Send for Passed {}

#[test]
fn threads_that_start_together_are_all_served() {
    start_together::<SmallHeap<FixedRegion>>();
    start_together::<Paged<FixedRegion, Tiny>>();
    start_together::<Paged<FixedRegion, Compact>>();
    start_together::<Paged<Committed, Compact>>();
}

#[test]
#[cfg(all(unix, not(miri)))]
fn interrupts_are_served_while_the_first_tables_are_made() {
    faults::interrupt_all::<SmallHeap<FixedRegion>>();
    faults::interrupt_all::<Paged<FixedRegion, Tiny>>();
    faults::interrupt_all::<Paged<FixedRegion, Compact>>();
    faults::interrupt_all::<Paged<Committed, Tiny>>();
    faults::interrupt_all::<Paged<Committed, Compact>>();
}
