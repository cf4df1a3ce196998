//! A global allocator that is coreheap or the system's, as an environment variable says.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use coreheap_os::Coreheap;

/// The value for a process that only touches memory.
pub const WARM_UP: &str = "warm-up";

/// The variable: `system` selects the system allocator, everything else coreheap.
pub const VARIABLE: &str = "HOSTED_ALLOCATOR";
const VARIABLE_C: &std::ffi::CStr = c"HOSTED_ALLOCATOR";

/// The heap of this program.
pub static COREHEAP: Coreheap = Coreheap::new();

const UNDECIDED: u8 = 0;
const CORE_HEAP: u8 = 1;
const SYSTEM: u8 = 2;

/// Passes every request on. The choice is made at the first one, which comes before `main`, and stays.
pub struct Switch {
    choice: AtomicU8,
}

impl Switch {
    pub const fn new() -> Self {
        Switch { choice: AtomicU8::new(UNDECIDED) }
    }

    /// Whether this process runs on coreheap.
    #[inline(always)]
    pub fn is_coreheap(&self) -> bool {
        match self.choice.load(Relaxed) {
            UNDECIDED => self.decide(),
            choice => choice == CORE_HEAP,
        }
    }

    #[cold]
    fn decide(&self) -> bool {
        // `std::env::var` allocates, so the C function it is.
        // SAFETY: the name ends with a zero byte, and nobody changes the environment this early.
        let value = unsafe { libc::getenv(VARIABLE_C.as_ptr()) };
        // SAFETY: a value that is there is a string that ends with a zero byte.
        let is_system = !value.is_null() && unsafe { std::ffi::CStr::from_ptr(value) } == c"system";
        self.choice.store(if is_system { SYSTEM } else { CORE_HEAP }, Relaxed);
        !is_system
    }
}

// SAFETY: every block goes back to the allocator it came from, since the choice never changes after the first request.
unsafe impl GlobalAlloc for Switch {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on, here and below.
        unsafe { if self.is_coreheap() { COREHEAP.alloc(layout) } else { System.alloc(layout) } }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { if self.is_coreheap() { COREHEAP.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { if self.is_coreheap() { COREHEAP.alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe {
            if self.is_coreheap() { COREHEAP.realloc(block, layout, new_size) } else { System.realloc(block, layout, new_size) }
        }
    }
}
