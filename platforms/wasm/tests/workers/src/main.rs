//! A module whose workers share one heap: they exchange blocks that say what must be in them. What it exports is called by `worker.mjs` and
//! `harness.mjs`.

#![no_std]
#![no_main]

mod parcel;

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use coreheap_wasm::coreheap::CoreLocal;
use coreheap_wasm::{Coreheap, ModuleGeometry};

use crate::parcel::{Parcel, Random};

#[global_allocator]
static HEAP: Coreheap = Coreheap::new();

#[cfg(feature = "one-thread")]
static REFUSED: coreheap_wasm::SmallCoreheap = coreheap_wasm::SmallCoreheap::new();

/// Where workers leave parcels for each other.
static PLACES: [AtomicPtr<u8>; 500] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 500];

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
    let mut random = Random::new(seed.into());
    for _ in 0..operations {
        let parcel = Parcel::random(&mut random);
        swap(random.below(PLACES.len()), Some(parcel));
    }
}

/// Takes out, checks and frees all that is left.
#[unsafe(no_mangle)]
extern "C" fn empty() {
    (0..PLACES.len()).for_each(|place| swap(place, None));
}

fn swap(place: usize, parcel: Option<Parcel>) {
    let found = PLACES[place].swap(parcel.map_or(core::ptr::null_mut(), Parcel::into_raw), Ordering::AcqRel);
    if !found.is_null() {
        // SAFETY: a parcel that was left here, and that nobody else found.
        unsafe { Parcel::from_raw(found) }.check_and_free();
        CHECKED.fetch_add(1, Ordering::Relaxed);
    }
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
