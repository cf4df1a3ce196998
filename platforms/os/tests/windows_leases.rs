//! Core heaps that are leased to the threads of Windows.
//!
//! Under Wine the port does without leases, because the system's barrier does nothing there. Here the barrier is to stop every other thread for a
//! moment, which is one anywhere, if a slow one.

#![cfg(all(windows, target_arch = "x86_64"))]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_os::coreheap::{Heap, Leased, Threads};
use coreheap_os::{HostGeometry, VirtualAlloc};
use coreheap_tests::blocks::holds;
use coreheap_tests::rng::Rng;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Diagnostics::Debug::{CONTEXT, CONTEXT_CONTROL_AMD64, GetThreadContext};
use windows_sys::Win32::System::Threading::{
    GetCurrentThreadId, OpenThread, ResumeThread, SuspendThread, THREAD_GET_CONTEXT, THREAD_SUSPEND_RESUME,
};

/// More than core heaps, so that leases are taken from each other.
const WORKERS: usize = 6;
const CORES: usize = 1;

/// A thread that uses the heap.
struct Known(u32, HANDLE);

// SAFETY: any thread may use a handle.
unsafe impl Send for Known {}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
static BARRIERS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, [`Stopping`] knows this thread.
struct Registration;

impl Registration {
    fn new() -> Self {
        // SAFETY: this thread; takes nothing.
        unsafe {
            let (rights, this) = (THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT, GetCurrentThreadId());
            let handle = OpenThread(rights, 0, this);
            assert!(!handle.is_null());
            KNOWN.lock().expect("no panic").push(Known(this, handle));
        }
        Registration
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        KNOWN.lock().expect("no panic").retain(|known| known.0 as usize != Stopping::this());
    }
}

/// What the system wants it aligned to.
#[repr(align(16))]
struct Aligned(CONTEXT);

enum Stopping {}

// SAFETY: numbers of threads are the system's; a thread whose state the system has read out stands still, and so has passed a barrier.
unsafe impl Threads for Stopping {
    fn this() -> usize {
        // SAFETY: takes nothing.
        unsafe { GetCurrentThreadId() as usize }
    }

    fn barrier() -> bool {
        BARRIERS.fetch_add(1, Ordering::Relaxed);
        // One at a time, or two would stop each other for good.
        for known in KNOWN.lock().expect("no panic").iter() {
            // SAFETY: a living thread's handle, with the rights for this. Nothing between stopping it and letting it go may need a lock.
            unsafe {
                if known.0 as usize != Self::this() {
                    SuspendThread(known.1);
                    let mut context: Aligned = std::mem::zeroed();
                    context.0.ContextFlags = CONTEXT_CONTROL_AMD64;
                    let stands_still = GetThreadContext(known.1, &mut context.0) != 0;
                    ResumeThread(known.1);
                    assert!(stands_still);
                }
            }
        }
        true
    }

    fn cores() -> usize {
        CORES
    }

    fn table(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: not of size 0.
        NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, 64).expect("a size")) })
    }

    unsafe fn return_table(table: NonNull<u8>, bytes: usize) {
        // SAFETY: from there.
        unsafe { dealloc(table.as_ptr(), Layout::from_size_align(bytes, 64).expect("a size")) };
    }
}

static HEAP: Heap<VirtualAlloc, Leased<Stopping, 64>, HostGeometry> = Heap::new(VirtualAlloc::new(), Leased::new());

/// A block that is full of one byte.
struct Filled(NonNull<u8>, Layout, u8);

// SAFETY: an owned block.
unsafe impl Send for Filled {}

impl Filled {
    fn new(rng: &mut Rng) -> Self {
        let most = 16 << rng.below(8);
        let layout = Layout::from_size_align(1 + rng.below(most), 8).expect("a layout");
        let (block, byte) = (HEAP.allocate(layout).expect("memory"), rng.below(256) as u8);
        // SAFETY: a fresh block of this size.
        unsafe { block.write_bytes(byte, layout.size()) };
        Filled(block, layout, byte)
    }

    fn check_and_free(self) {
        // SAFETY: a block of the heap, used no more.
        unsafe {
            assert!(holds(self.0, self.1.size(), self.2), "{:?}: not only {}", self.0, self.2);
            HEAP.deallocate(self.0, self.1);
        }
    }
}

#[test]
fn leases_are_taken_from_threads_that_work() {
    static EXCHANGE: Mutex<Vec<Filled>> = Mutex::new(Vec::new());
    static START: Barrier = Barrier::new(WORKERS + 1);
    static DONE: AtomicBool = AtomicBool::new(false);
    let _main = Registration::new();
    let work = |seed| {
        let _worker = Registration::new();
        START.wait();
        let (mut rng, mut kept) = (Rng::new(seed), Vec::new());
        while !DONE.load(Ordering::Relaxed) {
            kept.extend((0..rng.below(100)).map(|_| Filled::new(&mut rng)));
            // What one thread made, another frees.
            let place = rng.below(kept.len() + 1);
            let mut given = kept.split_off(place);
            std::mem::swap(&mut given, &mut EXCHANGE.lock().expect("no panic"));
            given.into_iter().for_each(Filled::check_and_free);
            if kept.len() > 1000 {
                kept.drain(..500).for_each(Filled::check_and_free);
            }
        }
        kept.into_iter().for_each(Filled::check_and_free);
    };
    let workers: Vec<_> = (0..WORKERS as u64).map(|seed| thread::spawn(move || work(seed))).collect();
    START.wait();
    let (mut drained, mut barriers, started) = (0, 0, Instant::now());
    let ready = || HEAP.stats().classes().map(|class| class.in_magazines).sum::<usize>();
    // A barrier takes long where the machine is busy.
    while (drained < 10 || barriers < 200) && started.elapsed() < Duration::from_secs(60) {
        let before = ready();
        HEAP.purge();
        drained += usize::from(ready() < before);
        barriers = BARRIERS.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(10));
    }
    DONE.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().expect("every block in order"));
    EXCHANGE.lock().expect("no panic").drain(..).for_each(Filled::check_and_free);
    HEAP.purge();
    HEAP.assert_valid();
    assert_eq!(HEAP.stats().used, 0);
    assert!(drained >= 10 && barriers >= 200, "{barriers} barriers, {drained} purges drained magazines");
}
