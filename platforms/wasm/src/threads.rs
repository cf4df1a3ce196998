//! [`Coreheap`] where workers share the module's memory.

use coreheap::atomic::{AtomicU8, Ordering};
use coreheap::{CoreNumber, Heap, TryFlag};

use crate::geometry::ModuleGeometry;
use crate::heap::ModuleHeap;
use crate::linear_memory::Module;
use crate::source::GrowingMemory;

pub type WorkerCores = TryFlag<WorkerNumber, 32>;

/// The fast heap.
pub type Coreheap = ModuleHeap<Heap<GrowingMemory<Module>, WorkerCores, ModuleGeometry>>;

#[derive(Debug)]
pub enum WorkerNumber {}

static NUMBERS: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

impl CoreNumber for WorkerNumber {
    #[inline(always)]
    fn core_number() -> usize {
        number().load(Ordering::Relaxed).into()
    }

    fn was_busy() {
        number().fetch_add(1, Ordering::Relaxed);
    }
}

#[inline(always)]
fn number() -> &'static AtomicU8 {
    let spread = (worker() as u32).wrapping_mul(0x9e37_79b9);
    &NUMBERS[(spread >> 24) as usize]
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "wasi")] {
        #[inline(always)]
        fn worker() -> usize {
            unsafe extern "C" {
                safe fn pthread_self() -> usize;
            }
            pthread_self()
        }
    } else {
        #[inline(always)]
        fn worker() -> usize {
            #[thread_local]
            static MARK: u8 = 0;
            (&raw const MARK).addr()
        }
    }
}

impl Coreheap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self::growing_by(1)
    }

    /// An empty heap whose memory grows by at least so many pages of 64 KiB at a time.
    pub const fn growing_by(least_pages: usize) -> Self {
        ModuleHeap { heap: Heap::new(GrowingMemory::new(Module, least_pages), TryFlag::new()) }
    }
}
