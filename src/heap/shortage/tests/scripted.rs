//! Two cores and a source for tests of what happens when memory is short.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};
use std::boxed::Box;

use crate::base::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::cores::core_local::{CoreLocal, SingleCore};
use crate::heap::Heap;
use crate::pages::geometry::Geometry;
use crate::pages::slices::Slices;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::{PageSource, Region, RegionRequest};

crate::geometry! {
    /// Small pages, and small magazines.
    pub struct Paged {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 64 * 1024, magazine_slots: 6,
        magazine_bytes: 1024, page_words: 128 / usize::BITS as usize, pages_per_group: 8, listed_words: 1, arena_map: 4, grow_size: 4096,
    }
}

/// Two cores, on which this context runs in turn: one at a time, but the heap does not know.
pub struct Scripted {
    pub cores: [SingleCore; 2],
    /// The core it runs on.
    pub core: AtomicUsize,
    /// Whether somebody else has the magazines.
    pub is_busy: AtomicBool,
    /// How many tries are worth waiting.
    pub patience: AtomicUsize,
    pub waits: AtomicUsize,
}

impl Scripted {
    pub fn waits(&self) -> usize {
        self.waits.swap(0, Ordering::Relaxed)
    }
}

// SAFETY: L1: one context.
unsafe impl CoreLocal for Scripted {
    fn core_count(&self) -> usize {
        2
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        self.cores[core].slot(0)
    }

    fn core(&self) -> usize {
        self.core.load(Ordering::Relaxed)
    }

    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        if self.is_busy.load(Ordering::Relaxed) {
            return Err(input);
        }
        // SAFETY: the caller's promise.
        unsafe { self.cores[self.core()].alone::<G, I, R>(input, work) }
    }

    fn wait_for(&self, _: usize, tries: usize) -> bool {
        self.waits.fetch_add(1, Ordering::Relaxed);
        tries < self.patience.load(Ordering::Relaxed)
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        if self.is_busy.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { self.cores[core].alone_on::<G, R>(0, work) }
    }
}

/// Regions of one length, mostly one, which are committed and decommitted; counts what it is asked.
pub struct Counting {
    pub memory: NonNull<u8>,
    pub size: usize,
    pub reserves: AtomicUsize,
    pub decommits: AtomicUsize,
    pub refuses: AtomicBool,
    /// Whether it commits again what was decommitted.
    pub relents: AtomicBool,
    /// How many regions it has.
    pub regions: AtomicUsize,
    /// A heap from which it allocates during the next commit.
    pub calls_back: AtomicPtr<TwoCores>,
}

// SAFETY: each region goes out once.
unsafe impl Sync for Counting {}

/// As much as is asked for, so that memory is not short from the beginning.
pub const SIZE: usize = Paged::ARENA_SIZE;

// SAFETY: as above.
unsafe impl PageSource for Counting {
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const DISCARDS: bool = true;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        let index = self.reserves.fetch_add(1, Ordering::Relaxed);
        if index >= self.regions.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: inside the memory.
        Some(Region { start: unsafe { self.memory.add(index * SIZE) }, size: self.size })
    }

    unsafe fn commit(&self, _: NonNull<u8>, _: usize) -> bool {
        // SAFETY: null, or a heap that is used by this context.
        if let Some(heap) = unsafe { self.calls_back.swap(null_mut(), Ordering::Relaxed).as_ref() } {
            assert!(heap.allocate(layout(100)).is_some());
        }
        !self.refuses.load(Ordering::Relaxed)
    }

    unsafe fn decommit(&self, _: NonNull<u8>, _: usize) -> bool {
        self.decommits.fetch_add(1, Ordering::Relaxed);
        self.refuses.fetch_and(!self.relents.load(Ordering::Relaxed), Ordering::Relaxed);
        true
    }

    unsafe fn release(&self, _: Region) {
        panic!("a source that takes no regions back is not told to");
    }

    unsafe fn grow(&self, _: Region, _: usize, _: usize) -> usize {
        panic!("a source that grows no regions is not asked to");
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }
}

pub type TwoCores = Heap<Counting, Scripted, Paged>;

pub fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// One region of this memory.
pub fn source_of(memory: NonNull<u8>, size: usize) -> Counting {
    let [reserves, decommits] = [const { AtomicUsize::new(0) }; 2];
    let [refuses, relents] = [const { AtomicBool::new(false) }; 2];
    let (regions, calls_back) = (AtomicUsize::new(1), AtomicPtr::new(null_mut()));
    Counting { memory, size, reserves, decommits, refuses, relents, regions, calls_back }
}

/// On core 0, with all patience.
pub fn cores() -> Scripted {
    let ([core, waits], patience) = ([const { AtomicUsize::new(0) }; 2], AtomicUsize::new(usize::MAX));
    // SAFETY: each test has one thread.
    let cores = unsafe { [SingleCore::new(), SingleCore::new()] };
    Scripted { cores, core, is_busy: AtomicBool::new(false), patience, waits }
}

/// A heap that has its region and a header for a page; with a block of 100 bytes.
pub fn heap() -> (Box<TwoCores>, NonNull<u8>) {
    heap_of(SIZE)
}

/// The same, with less memory.
pub fn heap_of(size: usize) -> (Box<TwoCores>, NonNull<u8>) {
    let memory = memory_that_stays(2 * SIZE, 4096);
    let heap: Box<TwoCores> = Box::new(Heap::new(source_of(memory, size), cores()));
    let block = heap.allocate(layout(100)).expect("room");
    (heap, block)
}

/// The same, with too little memory for core heaps: a search has nothing to reclaim.
pub fn heap_without_core_heaps() -> (Box<TwoCores>, NonNull<u8>) {
    let (heap, block) = heap_of(6 << 10);
    assert!(heap.cores.cores.iter().all(|core| core.slot(0).is_empty()));
    (heap, block)
}

/// Leaves so many slices in a row, at a multiple of every block size, and no others.
pub fn leave(heap: &TwoCores, count: usize) {
    let slices = heap.arenas.iter().next().expect("an arena").slices();
    let left = slices.claim(&heap.source, count.max(1), 512).expect("room").run;
    claim_rest(slices, &heap.source);
    assert!(count == 0 || slices.release(left));
}

/// Claims every slice that is free, a run at a time.
pub fn claim_rest<S: PageSource, G: Geometry>(slices: &Slices<G>, source: &S) {
    while let Some(run) = slices.free().next_run(0) {
        slices.claim_exactly(source, run).expect("room");
    }
}
