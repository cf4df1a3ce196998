//! A linear memory that a test simulates: with a maximum, and with strangers who grow it too.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coreheap_wasm::coreheap::Region;
use coreheap_wasm::{LinearMemory, PAGE_SIZE};

/// What strangers write into their pages.
const STRANGE: u8 = 0xee;

/// What was once written where the program uses nothing now.
const USED: u8 = 0x5a;

pub struct Simulated {
    start: *mut u8,
    maximum: usize,
    pages: AtomicUsize,
    calls: AtomicUsize,
    /// A stranger comes before every so many calls.
    strangers_every: usize,
    /// Bytes at the end of the first page that the program does not use.
    unused: usize,
    is_unused_taken: AtomicBool,
    /// The strangers' pages.
    strange: Mutex<Vec<usize>>,
}

// SAFETY: whose a page is, is decided by one atomic operation.
unsafe impl Sync for Simulated {}

impl Simulated {
    /// A memory of one page, which is the program's own, and of at most `maximum`.
    pub fn new(maximum: usize) -> Self {
        Self::with_strangers(maximum, usize::MAX)
    }

    /// With a stranger who is faster at every so manieth call.
    pub fn with_strangers(maximum: usize, strangers_every: usize) -> Self {
        // SAFETY: not of size zero.
        let start = unsafe { alloc_zeroed(Self::layout(maximum)) };
        assert!(!start.is_null());
        let (pages, calls) = (AtomicUsize::new(1), AtomicUsize::new(0));
        let (is_unused_taken, strange) = (AtomicBool::new(false), Mutex::default());
        Simulated { start, maximum, pages, calls, strangers_every, unused: 0, is_unused_taken, strange }
    }

    /// With so many bytes of the first page that the program does not use.
    pub fn leaving(mut self, unused: usize) -> Self {
        self.unused = unused;
        self
    }

    /// Somebody else takes a page and uses it.
    pub fn grow_by_a_stranger(&self) {
        let Some(first) = self.claim(1) else { return };
        // SAFETY: the page is the stranger's.
        unsafe { self.page(first).write_bytes(STRANGE, PAGE_SIZE) };
        self.strange.lock().unwrap().push(first);
    }

    /// How often the memory was asked to grow.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many pages strangers have.
    pub fn strange_pages(&self) -> usize {
        self.strange.lock().unwrap().len()
    }

    /// Whether the bytes lie in pages that there are.
    pub fn contains(&self, start: usize, size: usize) -> bool {
        let offset = start.wrapping_sub(self.start.addr());
        offset >= PAGE_SIZE - self.unused && offset + size <= self.pages() * PAGE_SIZE
    }

    fn claim(&self, pages: usize) -> Option<usize> {
        let within = |now: usize| now.checked_add(pages).filter(|sum| *sum <= self.maximum);
        self.pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()
    }

    /// Everywhere as in WebAssembly, whose memory begins at 0: what lies in which arena is the same in each run.
    fn layout(maximum: usize) -> Layout {
        Layout::from_size_align(maximum * PAGE_SIZE, 1 << 24).expect("the test's own size is sensible")
    }
}

// SAFETY: pages of zeroed memory, each claimed once.
unsafe impl LinearMemory for Simulated {
    fn grow(&self, pages: usize) -> Option<usize> {
        if (self.calls.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.strangers_every) {
            self.grow_by_a_stranger();
        }
        self.claim(pages)
    }

    fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    fn page(&self, index: usize) -> *mut u8 {
        self.start.wrapping_add(index.wrapping_mul(PAGE_SIZE))
    }

    fn initial(&self, min_size: usize) -> Option<Region> {
        let is_there = self.unused >= min_size && !self.is_unused_taken.swap(true, Ordering::Relaxed);
        // SAFETY: inside the first page.
        let start = unsafe { NonNull::new(self.start.add(PAGE_SIZE - self.unused))? };
        is_there.then(|| {
            // SAFETY: so many bytes are there, and nobody has them yet.
            unsafe { start.write_bytes(USED, self.unused) };
            Region { start, size: self.unused }
        })
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        for first in self.strange.get_mut().unwrap() {
            // SAFETY: the stranger's page, inside the memory, which the stranger has written.
            let page = unsafe { std::slice::from_raw_parts(self.start.add(*first * PAGE_SIZE), PAGE_SIZE) };
            assert!(std::thread::panicking() || page.iter().all(|byte| *byte == STRANGE), "a stranger's page was written");
        }
        // SAFETY: made with this layout.
        unsafe { dealloc(self.start, Self::layout(self.maximum)) };
    }
}
