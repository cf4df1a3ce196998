//! Misuse through `GlobalAlloc` ends the process: in a debug build at once and with the reason, and never by unwinding. In a
//! process of its own, whose global allocator is the heap that is misused: Miri starts none.
#![cfg(not(miri))]

use std::alloc::{GlobalAlloc, Layout, System, dealloc};
use std::hint::black_box;
use std::process::{Command, Output};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use coreheap::{
    DenseHeap, Exclusion, HeaderlessHeap, Heap, OneContext, PageSource, Region, RegionRequest, Server, SmallHeap, TryFlag,
    Unshared, sources::FixedRegion,
};
use coreheap_tests::cores::ThreadNumber;

coreheap::geometry! {
    /// Blocks of more than 64 KiB are regions of their own.
    struct Small {
        slice_size: 512, max_block: 1024, page_size: 2048, arena_size: 64 * 1024, magazine_slots: 7,
        magazine_bytes: 1024, page_words: 2, pages_per_group: 8, listed_words: 4, arena_map: 4, grow_size: 4096, fit_candidates: 4, own_region_above: 64 * 1024,
    }
}

const SIZE: usize = 64 << 20;

#[repr(align(4096))]
struct Memory(#[allow(dead_code, reason = "used through a pointer")] [u8; SIZE]);

static mut MEMORY: Memory = Memory([0; SIZE]);

#[global_allocator]
static HEAP: Heap<FixedRegion, TryFlag<ThreadNumber, 4>, Server> =
    // SAFETY: nobody else uses the memory.
    Heap::new(unsafe { FixedRegion::over((&raw mut MEMORY).cast(), SIZE) }, TryFlag::new());

/// What the child does wrong.
const MISUSES: [(&str, fn(), &str); 4] = [
    ("double free", double_free, "double free"),
    ("double free of a large block", double_free_of_a_large_block, "double free"),
    ("foreign pointer", foreign_pointer, "not a block of this heap"),
    ("wrong layout", wrong_layout, "not allocated with this layout"),
];

/// What panics inside a heap, in any build: its page source, in these.
const PANICS: [(&str, fn()); 14] = [
    ("Heap", || alloc_from(Heap::<_, _, Server>::new(Panics::at(0), cores()), 40)),
    ("Heap, zeroed", || alloc_zeroed_from(Heap::<_, _, Server>::new(Panics::at(0), cores()))),
    ("Heap, a large block", || alloc_from(Heap::<_, _, Server>::new(Panics::at(0), cores()), LONG)),
    ("Heap, a large block that grows", || grow_in(Heap::<_, _, Small>::new(Panics::at(2), cores()), LONG)),
    ("Heap, a block that becomes large", || grow_in(Heap::<_, _, Small>::new(Panics::at(1), cores()), 40)),
    ("Heap, a block that is a region", || free_in(Heap::<_, _, Small>::new(Panics::at(2), cores()), LONG)),
    ("SmallHeap", || alloc_from(SmallHeap::new(Panics::at(0)), 40)),
    ("SmallHeap, a block that grows", || grow_in(SmallHeap::new(Panics::at(1)), 40)),
    ("HeaderlessHeap", || alloc_from(HeaderlessHeap::new(Panics::at(0), OneContext::new()), 40)),
    ("HeaderlessHeap, a block that grows", || grow_in(HeaderlessHeap::new(Panics::at(1), OneContext::new()), 40)),
    ("DenseHeap", || alloc_zeroed_from(DenseHeap::<_, _, 0>::new(Panics::at(0), OneContext::new()))),
    ("DenseHeap, a block that grows", || grow_in(DenseHeap::<_, _, 0>::new(Panics::at(1), OneContext::new()), 40)),
    ("DenseHeap with ready blocks", || alloc_from(DenseHeap::<_, _, 16>::new(Panics::at(0), OneContext::new()), 40)),
    // SAFETY: nobody else uses it.
    ("Unshared", || unsafe { Unshared::new() }.alone(|| panic!("{REASON}"))),
];

/// More bytes than a first region has.
const LONG: usize = 300 << 10;

const REASON: &str = "as a page source may";

fn cores() -> TryFlag<ThreadNumber, 4> {
    TryFlag::new()
}

/// A source with a fault: it panics when it has given so many regions, and when it gets one back.
struct Panics {
    left: AtomicUsize,
}

impl Panics {
    fn at(regions: usize) -> Self {
        Panics { left: AtomicUsize::new(regions) }
    }
}

// SAFETY: gives memory of the system's allocator, which is the heap's for good.
unsafe impl PageSource for Panics {
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        assert!(self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok(), "{REASON}");
        let size = request.min_size.max(64 << 10);
        // SAFETY: not of size 0.
        let start = unsafe { System.alloc(Layout::from_size_align(size, 4096).expect("a layout")) };
        Some(Region { start: NonNull::new(start)?, size })
    }

    unsafe fn release(&self, _: Region) {
        panic!("{REASON}");
    }
}

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn alloc_from(heap: impl GlobalAlloc, size: usize) {
    // SAFETY: a layout that is not empty.
    black_box(unsafe { heap.alloc(bytes(size)) });
    std::mem::forget(heap);
}

fn alloc_zeroed_from(heap: impl GlobalAlloc) {
    // SAFETY: as above.
    black_box(unsafe { heap.alloc_zeroed(bytes(40)) });
    std::mem::forget(heap);
}

/// The block has memory; what it grows to has not.
fn grow_in(heap: impl GlobalAlloc, size: usize) {
    // SAFETY: as above; a block of this heap.
    unsafe {
        let block = black_box(heap.alloc(bytes(size)));
        assert!(!block.is_null());
        black_box(heap.realloc(block, bytes(size), 3 * LONG));
    }
    std::mem::forget(heap);
}

fn free_in(heap: impl GlobalAlloc, size: usize) {
    // SAFETY: as above.
    unsafe {
        let block = black_box(heap.alloc(bytes(size)));
        assert!(!block.is_null());
        heap.dealloc(block, bytes(size));
    }
    std::mem::forget(heap);
}

/// A block that the compiler knows nothing of: it may leave an allocation out that it sees the end of.
fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: no layout of this test is of size 0.
    black_box(unsafe { std::alloc::alloc(layout) })
}

fn double_free() {
    let layout = Layout::new::<[u64; 5]>();
    // SAFETY: the second free is misuse on purpose.
    unsafe {
        let block = alloc(layout);
        dealloc(block, layout);
        dealloc(block, layout);
    }
}

fn double_free_of_a_large_block() {
    let layout = Layout::from_size_align(200_000, 16).unwrap();
    // SAFETY: the second free is misuse on purpose.
    unsafe {
        let block = alloc(layout);
        dealloc(block, layout);
        dealloc(block, layout);
    }
}

fn foreign_pointer() {
    let layout = Layout::new::<u64>();
    // SAFETY: misuse on purpose: the block is another allocator's.
    unsafe { dealloc(black_box(System.alloc(layout)), layout) };
}

fn wrong_layout() {
    // SAFETY: misuse on purpose: the block has 40 bytes.
    unsafe { dealloc(alloc(Layout::new::<[u64; 5]>()), Layout::new::<[u64; 50]>()) };
}

/// Wine loses what a process wrote last before it aborted, about once in a hundred times: then another one is asked.
const TRIES: usize = if cfg!(windows) { 3 } else { 1 };

fn child(name: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let run = || {
        let arguments = ["--exact", "this_process_ends_here", "--nocapture"];
        Command::new(&program).args(arguments).env("MISUSE", name).output().unwrap()
    };
    (1..TRIES).map(|_| run()).find(|output| !output.stderr.is_empty()).unwrap_or_else(run)
}

/// Not a test by itself: what the children run.
#[test]
fn this_process_ends_here() {
    let Ok(name) = std::env::var("MISUSE") else { return };
    struct Unwound;
    impl Drop for Unwound {
        fn drop(&mut self) {
            println!("unwound");
        }
    }
    let unwound = Unwound;
    let misuses = MISUSES.into_iter().map(|(name, misuse, _)| (name, misuse));
    let (_, misuse) = misuses.chain(PANICS).find(|(other, _)| *other == name).expect("a name of a list");
    misuse();
    std::mem::forget(unwound);
    println!("survived");
}

#[test]
fn misuse_aborts_with_the_reason() {
    for (name, _, reason) in MISUSES {
        let Output { status, stdout, stderr } = child(name);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(!stdout.contains("unwound"), "{name}: {stdout} {stderr}");
        if cfg!(debug_assertions) {
            assert!(!status.success() && !stdout.contains("survived"), "{name}: {stdout} {stderr}");
            assert!(stderr.contains("coreheap: ") && stderr.contains(reason), "{name}: {stderr}");
            // By SIGABRT; musl's abort may end in another one.
            #[cfg(unix)]
            assert!(std::os::unix::process::ExitStatusExt::signal(&status).is_some(), "{name}: {stderr}");
        }
    }
}

#[test]
fn nothing_unwinds_in_any_build() {
    for (name, _) in PANICS {
        let Output { status, stdout, stderr } = child(name);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(!status.success(), "{name}: {stdout} {stderr}");
        assert!(!stdout.contains("unwound") && !stdout.contains("survived"), "{name}: {stdout} {stderr}");
        assert!(stderr.contains(REASON), "{name}: {stderr}");
    }
}

#[test]
fn the_heap_under_test_is_this_processs_allocator() {
    let text = black_box(String::from("in the heap"));
    assert!(HEAP.usable_size(text.as_ptr()).is_some());
}
