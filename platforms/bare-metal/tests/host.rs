//! The port's parts on a host: sources under the conformance suite, rules about contexts, cores with a pin.

#![cfg(unix)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use coreheap_bare::coreheap::sources::FixedRegion;
use coreheap_bare::coreheap::{
    Exclusion, HeaderlessHeap, Heap, NestedContexts, PageSource, Region, RegionRequest, Server, SingleCore, Tiny,
};
use coreheap_bare::{AddedRegions, BareHeap, CoreNumber, Coreheap, CoresHeap, ExclusiveHeap, Frames, Pinned, Window};
use coreheap_tests::conformance::{conformance, conformance_with};
use coreheap_tests::fuzz::single_core;

const KIB: usize = 1024;

#[test]
fn regions_may_be_added_at_any_time() {
    let mut memory = vec![0xa5u8; 6000 * KIB];
    let start = memory.as_mut_ptr();
    conformance(|| {
        let regions = AddedRegions::<3>::new();
        // SAFETY: parts of the memory, which nobody else uses; the heap before is gone.
        unsafe {
            assert!(!regions.add(std::ptr::null_mut(), 100) && !regions.add(start, 0));
            assert!(
                regions.add(start.add(7), 99)
                    && regions.add(start.add(1003), 2000 * KIB + 1)
                    && regions.add(start.add(3000 * KIB), 3000 * KIB)
            );
            assert!(!regions.add(start, 5), "there is no room for a fourth");
        }
        regions
    });

    let heap: Heap<AddedRegions<2>, SingleCore, Tiny> = Heap::new(AddedRegions::new(), single_core());
    let layout = Layout::new::<[u8; 100]>();
    assert_eq!(heap.allocate(layout), None, "there is no memory yet");
    let mut one = vec![0u8; 4 * KIB];
    // SAFETY: memory of the test's own, which outlives the heap.
    assert!(unsafe { heap.source().add(one.as_mut_ptr(), one.len()) });
    let mut blocks = 0;
    while heap.allocate(layout).is_some() {
        blocks += 1;
    }
    assert!(blocks > 10, "{blocks} blocks of 100 bytes in 4 KiB");
    let mut other = vec![0u8; 4 * KIB];
    // SAFETY: as above.
    assert!(unsafe { heap.source().add(other.as_mut_ptr(), other.len()) });
    assert!(heap.allocate(layout).is_some(), "the second region serves");
}

/// Page tables of a kernel, as far as a process can have such: pages without a frame cannot be touched.
struct Mappings {
    mapped: Mutex<HashSet<usize>>,
    frames: usize,
    /// How long it takes to map a page.
    delay: Duration,
    window: (usize, usize),
}

impl Mappings {
    /// A window of addresses, and at most `frames` frames for it.
    fn window(size: usize, frames: usize) -> Window<Mappings> {
        Self::slow_window(size, frames, Duration::ZERO)
    }

    fn slow_window(size: usize, frames: usize, delay: Duration) -> Window<Mappings> {
        // SAFETY: fresh addresses, which stay the window's.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let start = libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            Window::new(start.cast(), size, Mappings { mapped: Mutex::default(), frames, delay, window: (start.addr(), size) })
        }
    }

    /// How many pages have frames.
    fn in_use(&self) -> usize {
        self.mapped.lock().unwrap().len()
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        // SAFETY: the heap over the window goes with it.
        unsafe { libc::munmap(std::ptr::without_provenance_mut(self.window.0), self.window.1) };
    }
}

// SAFETY: a mapped page is accessible; it was discarded when it was unmapped, so it reads as zero.
unsafe impl Frames for Mappings {
    fn map(&self, page: NonNull<u8>) -> bool {
        std::thread::sleep(self.delay);
        let mut mapped = self.mapped.lock().unwrap();
        if mapped.len() == self.frames {
            return false;
        }
        assert!(mapped.insert(page.addr().get()), "{page:?} has a frame already");
        // SAFETY: a page of the window.
        unsafe { libc::mprotect(page.as_ptr().cast(), Self::PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE) == 0 }
    }

    unsafe fn unmap(&self, page: NonNull<u8>) {
        assert!(self.mapped.lock().unwrap().remove(&page.addr().get()), "{page:?} has no frame");
        // SAFETY: a page of the window, which nobody uses.
        unsafe {
            assert_eq!(libc::madvise(page.as_ptr().cast(), Self::PAGE_SIZE, libc::MADV_DONTNEED), 0);
            assert_eq!(libc::mprotect(page.as_ptr().cast(), Self::PAGE_SIZE, libc::PROT_NONE), 0);
        }
    }
}

#[test]
fn windows_have_frames_only_where_the_heap_needs_them() {
    conformance(|| Mappings::window(64 << 20, 1000));

    let heap: Heap<_, SingleCore, Server> = Heap::new(Mappings::window(1 << 28, 4000), single_core());
    let layout = Layout::from_size_align(5000, 8).unwrap();
    let blocks: Vec<_> = (0..1000).map(|_| heap.allocate(layout).unwrap()).collect();
    let busy = heap.source().frames().in_use();
    assert!(busy >= 1000 * 5000 / 4096);
    // SAFETY: blocks of this heap.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout) });
    heap.purge();
    let idle = heap.source().frames().in_use();
    assert!(idle * 3 < busy, "{busy} frames, {idle} after the purge: the books'");
    let too_much = Layout::from_size_align(4000 * 4096, 8).unwrap();
    assert_eq!(heap.allocate(too_much), None, "there are not so many frames");
    assert_eq!(heap.source().frames().in_use(), idle, "none was lost over it");
}

static OPEN: Coreheap<{ 64 * KIB }> = Coreheap::new();
// SAFETY: one test uses it, in one thread.
static EXCLUSIVE: ExclusiveHeap<{ 8 * KIB }> = unsafe { ExclusiveHeap::<{ 8 * KIB }>::new() };

#[test]
fn a_static_is_all_that_it_takes() {
    let layout = Layout::new::<[u64; 9]>();
    // SAFETY: blocks of this heap, with their layout.
    unsafe {
        let blocks: Vec<_> = std::iter::repeat_with(|| OPEN.alloc(layout)).take_while(|block| !block.is_null()).collect();
        assert!(blocks.len() * layout.size() > 50 * KIB, "{} blocks", blocks.len());
        blocks.iter().for_each(|block| block.cast::<[u64; 9]>().write([7; 9]));
        assert!(blocks.iter().all(|block| block.cast::<[u64; 9]>().read() == [7; 9]));
        assert!(OPEN.alloc_zeroed(Layout::new::<[u8; 20 * KIB]>()).is_null(), "it is full");
        blocks[1..].iter().for_each(|block| OPEN.dealloc(*block, layout));
        let grown = OPEN.realloc(blocks[0], layout, 20 * KIB);
        assert_eq!(grown.cast::<[u64; 9]>().read(), [7; 9]);
        OPEN.dealloc(grown, Layout::from_size_align(20 * KIB, 8).unwrap());
    }
    OPEN.heap().assert_valid();
    assert_eq!(OPEN.heap().stats().used, 0);
}

#[test]
#[cfg(feature = "linked_list_allocator")]
fn a_list_is_for_the_least_memory() {
    // SAFETY: one test uses it, in one thread.
    static LIST: coreheap_bare::ListHeap<512> = unsafe { coreheap_bare::ListHeap::new() };
    // SAFETY: as above.
    static NONE: coreheap_bare::ListHeap<8> = unsafe { coreheap_bare::ListHeap::new() };
    let layout = Layout::new::<[u64; 3]>();
    // SAFETY: blocks of these heaps, with their layouts.
    unsafe {
        assert!(NONE.alloc(layout).is_null(), "there is no room for a free block");
        for _ in 0..3 {
            let blocks: Vec<_> = std::iter::repeat_with(|| LIST.alloc(layout)).take_while(|block| !block.is_null()).collect();
            assert!(blocks.len() * layout.size() >= 480, "{} blocks", blocks.len());
            blocks.iter().for_each(|block| block.cast::<[u64; 3]>().write([7; 3]));
            assert!(LIST.alloc_zeroed(Layout::new::<[u64; 9]>()).is_null(), "it is full");
            assert!(blocks.iter().all(|block| block.cast::<[u64; 3]>().read() == [7; 3]));
            blocks[1..].iter().rev().for_each(|block| LIST.dealloc(*block, layout));
            let grown = LIST.realloc(blocks[0], layout, 300);
            assert_eq!(grown.cast::<[u64; 3]>().read(), [7; 3]);
            LIST.dealloc(grown, Layout::from_size_align(300, 8).unwrap());
            assert_eq!(LIST.heap().free(), 512);
        }
    }
}

/// A source during whose first call an interrupt comes, which allocates.
struct Interrupted(FixedRegion, AtomicBool);

static INTERRUPTED: LazyLock<BareHeap<HeaderlessHeap<Interrupted, NestedContexts>>> = LazyLock::new(|| {
    let memory = Box::leak(Box::new([0u64; KIB]));
    // SAFETY: memory of the heap's own; one test uses it, in one thread.
    unsafe { BareHeap::exclusive(Interrupted(FixedRegion::over(memory.as_mut_ptr().cast(), 8 * KIB), AtomicBool::new(false))) }
});

// SAFETY: the region's own.
unsafe impl PageSource for Interrupted {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if !self.1.swap(true, Ordering::Relaxed) {
            let layout = Layout::new::<[u8; 40]>();
            let block = INTERRUPTED.heap().allocate(layout).expect("the heap is not in use while its source is");
            // SAFETY: a block of this heap.
            unsafe { INTERRUPTED.heap().deallocate(block, layout) };
        }
        self.0.reserve(request)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.0.pointer_at(address)
    }
}

#[test]
fn a_call_inside_a_call_panics_where_that_is_forbidden() {
    // SAFETY: what comes in between ends before the other goes on.
    let exclusion = unsafe { NestedContexts::new() };
    let inside = exclusion.alone(|| catch_unwind(AssertUnwindSafe(|| exclusion.alone(|| ()))));
    let words = inside.expect_err("it must not come in");
    assert!(words.downcast_ref::<&str>().is_some_and(|words| words.contains("one context at a time")));
    exclusion.alone(|| ());
    let layout = Layout::new::<[u8; 40]>();
    // SAFETY: blocks of these heaps, with their layout.
    unsafe {
        let block = INTERRUPTED.heap().allocate(layout).expect("room, when the interrupt is over");
        INTERRUPTED.heap().deallocate(block, layout);
        let block = EXCLUSIVE.alloc(layout);
        assert!(!block.is_null());
        EXCLUSIVE.dealloc(block, layout);
    }
    INTERRUPTED.heap().assert_valid();
    EXCLUSIVE.heap().assert_valid();
    assert_eq!((EXCLUSIVE.heap().stats().used, INTERRUPTED.heap().stats().used), (0, 0));
}

thread_local! {
    static CORE: Cell<usize> = const { Cell::new(0) };
    static IS_PINNED: Cell<bool> = const { Cell::new(false) };
}

static PINS: AtomicUsize = AtomicUsize::new(0);

/// Four cores, one for each thread of the test.
struct Kernel;

impl CoreNumber for Kernel {
    fn core_number() -> usize {
        CORE.get()
    }

    fn pinned<R>(work: impl FnOnce() -> R) -> R {
        assert!(!IS_PINNED.replace(true), "pins do not nest");
        PINS.fetch_add(1, Ordering::Relaxed);
        let result = work();
        IS_PINNED.set(false);
        result
    }
}

#[test]
fn cores_exchange_blocks() {
    conformance_with::<_, Pinned<Kernel, 4>, Server>(|| Mappings::window(64 << 20, 1000), Pinned::new);

    let heap: CoresHeap<_, Kernel, 4, Server> = Heap::new(Mappings::window(1 << 28, 40_000), Pinned::new());
    let queues: [Mutex<Vec<(usize, usize)>>; 4] = Default::default();
    let before = PINS.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for core in 0..4 {
            let (heap, queues) = (&heap, &queues);
            scope.spawn(move || {
                CORE.set(core);
                for turn in 0..20_000 {
                    let size = 16 + (turn * 37 + core * 101) % 2000;
                    let layout = Layout::from_size_align(size, 8).unwrap();
                    let block = heap.allocate(layout).expect("room");
                    // SAFETY: the block's bytes.
                    unsafe { block.write_bytes(core as u8 ^ turn as u8, size) };
                    let mark = size << 8 | usize::from(core as u8 ^ turn as u8);
                    queues[(core + 1 + turn % 3) % 4].lock().unwrap().push((block.expose_provenance().get(), mark));
                    let Some((address, mark)) = queues[core].lock().unwrap().pop() else { continue };
                    free(heap, address, mark);
                }
            });
        }
    });
    queues.into_iter().flat_map(|queue| queue.into_inner().unwrap()).for_each(|(address, mark)| free(&heap, address, mark));
    assert!(PINS.load(Ordering::Relaxed) - before >= 160_000, "each pop and push is pinned");
    heap.assert_valid();
    heap.purge();
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn cores_that_come_together_wait_for_the_first() {
    // The first takes all there is, and then it has to make the tables: 20 pages or so.
    let heap: CoresHeap<_, Kernel, 4, Server> =
        Heap::new(Mappings::slow_window(16 << 20, 4000, Duration::from_micros(500)), Pinned::new());
    std::thread::scope(|scope| {
        for core in 0..4 {
            let heap = &heap;
            scope.spawn(move || {
                CORE.set(core);
                assert!(heap.allocate(Layout::new::<[u8; 100]>()).is_some(), "core {core} was refused");
            });
        }
    });
}

/// Checks a block's contents and frees it.
fn free<S: PageSource>(heap: &CoresHeap<S, Kernel, 4, Server>, address: usize, mark: usize) {
    let (size, byte) = (mark >> 8, mark as u8);
    let block = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(address)).expect("no block is null");
    // SAFETY: a block of this heap that was handed over.
    unsafe {
        assert!(std::slice::from_raw_parts(block.as_ptr(), size).iter().all(|found| *found == byte));
        heap.deallocate(block, Layout::from_size_align(size, 8).unwrap());
    }
}
