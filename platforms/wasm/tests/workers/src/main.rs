//! A module whose workers share one heap: they exchange blocks that say what must be in them. What it exports is called by `worker.mjs` and
//! `harness.mjs`.

#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use coreheap_tests::parcel::{Exchange, Home};
use coreheap_tests::rng::Rng;
use coreheap_wasm::coreheap::CoreLocal;
use coreheap_wasm::{Coreheap, ModuleGeometry};

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

#[cfg(feature = "one-thread")]
static REFUSED: coreheap_wasm::SmallCoreheap = coreheap_wasm::SmallCoreheap::new();

struct Here;

// SAFETY: the heap is a `GlobalAlloc`.
unsafe impl Home for Here {
    fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: parcels are not empty.
        unsafe { HEAP.alloc(layout) }
    }

    unsafe fn dealloc(block: *mut u8, layout: Layout, _: u64) {
        // SAFETY: the caller's promise.
        unsafe { HEAP.dealloc(block, layout) }
    }
}

/// Where workers leave parcels for each other.
static EXCHANGE: Exchange<Here, 500> = Exchange::new();

/// How many parcels were checked that another call had made, or the same one.
static CHECKED: AtomicUsize = AtomicUsize::new(0);

/// Memory for a worker's stack, or what is thread-local to it.
#[unsafe(no_mangle)]
extern "C" fn reserve(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    unsafe { HEAP.alloc_zeroed(Layout::from_size_align(size.max(1), align.max(1)).unwrap()) }
}

/// So many times: a new parcel in, an old one out, checked and freed.
#[unsafe(no_mangle)]
extern "C" fn exchange(seed: u32, operations: usize) {
    let mut rng = Rng::new(seed.into());
    for _ in 0..operations {
        // One by one: a worker that is terminated has counted what it checked.
        CHECKED.fetch_add(EXCHANGE.work(&mut rng, 1), Ordering::Relaxed);
    }
}

/// Takes out, checks and frees all that is left.
#[unsafe(no_mangle)]
extern "C" fn empty() {
    CHECKED.fetch_add(EXCHANGE.empty(), Ordering::Relaxed);
}

#[unsafe(no_mangle)]
extern "C" fn checked() -> usize {
    CHECKED.load(Ordering::Relaxed)
}

/// Gives all free blocks back to the slices, from whatever core heap they are in.
#[unsafe(no_mangle)]
extern "C" fn purge() {
    HEAP.heap().purge();
}

/// Bytes in live blocks.
#[unsafe(no_mangle)]
extern "C" fn used() -> usize {
    HEAP.heap().stats().used
}

/// A trap if something is wrong with the heap. Nobody else uses it.
#[unsafe(no_mangle)]
extern "C" fn assert_valid() {
    HEAP.heap().assert_valid();
}

/// How many core heaps were made.
#[unsafe(no_mangle)]
extern "C" fn core_heaps() -> usize {
    let cores = HEAP.heap().cores();
    // SAFETY: the heap's own geometry.
    (0..cores.core_count()).filter(|core| unsafe { cores.slot(*core).heap::<ModuleGeometry>() }.is_some()).count()
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Prints UTF-8.
    fn print(text: *const u8, len: usize);
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(place) = info.location() {
        // SAFETY: the host reads the text, and no more.
        unsafe { print(place.file().as_ptr(), place.file().len()) };
    }
    core::arch::wasm32::unreachable()
}
