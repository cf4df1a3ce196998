//! The heap: a window of addresses, in which pages have frames while the heap uses them, and magazines for each core.

use alloc::boxed::Box;
use core::hint::black_box;
use core::ops::Range;
use core::ptr::NonNull;

use coreheap_bare::{CoreNumber, CoresHeap, Frames, Pinned, Window, coreheap::Server};

use crate::arch::{self, interrupts};
use crate::cores::CORES;
use crate::{frames, paging};

/// Twice the RAM is plenty. `Server` asks for 1 GiB and takes less; its tables are 0.1 % of the window.
const WINDOW_SIZE: usize = 256 << 20;
/// The addresses. Nothing else has pages that come and go.
pub const WINDOW: Range<usize> = arch::WINDOW_START..arch::WINDOW_START + WINDOW_SIZE;

#[global_allocator]
pub static HEAP: CoresHeap<Window<KernelFrames>, KernelCores, CORES, Server> =
    // SAFETY: nothing else is mapped there.
    CoresHeap::new(unsafe { Window::new(WINDOW.start as *mut u8, WINDOW_SIZE, KernelFrames) }, Pinned::new());

/// Has the heap take its window. To be called before there are interrupts: the window goes to the first who allocates, and until it is ready,
/// a handler that interrupts that finds no memory.
pub fn init() {
    // Which the compiler would leave out if it saw what becomes of it.
    drop(black_box(Box::new(0_u8)));
    assert!(HEAP.stats().reserved == WINDOW_SIZE, "the heap has no window");
}

/// This kernel's frames and page tables.
pub struct KernelFrames;

// SAFETY: a page is mapped to a zeroed frame that is nobody else's, for all cores.
unsafe impl Frames for KernelFrames {
    fn map(&self, page: NonNull<u8>) -> bool {
        let Some(frame) = frames::allocate() else { return false };
        let is_mapped = paging::map(page.addr().get(), frame);
        if !is_mapped {
            // SAFETY: it was not mapped.
            unsafe { frames::free(frame) };
        }
        is_mapped
    }

    unsafe fn unmap(&self, page: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.unmap_all(page, 1) };
    }

    // One fence for all the pages.
    unsafe fn unmap_all(&self, page: NonNull<u8>, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { paging::unmap(page.addr().get(), count) };
    }
}

/// What the heap needs to know of cores.
pub struct KernelCores;

impl CoreNumber for KernelCores {
    #[inline(always)]
    fn core_number() -> usize {
        arch::core()
    }

    // With interrupts off for these few instructions, a handler finds its core's magazines free.
    #[inline(always)]
    fn pinned<R>(work: impl FnOnce() -> R) -> R {
        interrupts::off(work)
    }
}
