//! [`MarkedCores`]: many cores, any context, on any system: a mark on each core heap.
//!
//! *Role*: what [`HostCores`](crate::HostCores) uses where there is nothing better: one atomic operation for each pop or push. It is the core crate's `TryFlag` with a
//! mark that a `fork` cannot leave behind.
//!
//! *Concurrency*: L1 of `CoreLocal` holds because only the context that has a slot's mark uses the core heap in it. The number of
//! the core is a hint, for speed. A mark that is taken is passed by: the next slot is tried, then the page bitmaps serve.

use coreheap::port::{Block, Blocks, CoreHeap, CoreSlot, SizeClass};
use coreheap::{CoreLocal, Geometry};

use crate::holder::{Held, Holder};
use crate::system::core_number;

/// How many slots there are; more cores than that share them.
pub const CORES: usize = 64;
/// How many slots a pop or push tries.
const TRIES: usize = 2;
/// How often `alone_on` tries, which is long enough for any pop or push that is running to end.
const ALONE_TRIES: usize = if cfg!(miri) { 2 } else { 1000 };

/// A mark and a slot for each core. Two cores never fight over a cache line.
#[derive(Debug)]
pub struct MarkedCores {
    slots: [MarkedSlot; CORES],
}

#[derive(Debug)]
#[repr(align(128))]
struct MarkedSlot {
    holder: Holder,
    slot: CoreSlot,
}

impl MarkedCores {
    /// All slots empty.
    pub const fn new() -> Self {
        MarkedCores { slots: [const { MarkedSlot { holder: Holder::new(), slot: CoreSlot::new() } }; CORES] }
    }

    /// Takes the mark of a slot that has a core heap: this core's, or the next one's.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value.
    #[inline(always)]
    unsafe fn take_any<G: Geometry>(&self) -> Option<(Held<'_>, &CoreHeap<G>)> {
        let first = self.core();
        for offset in 0..TRIES {
            let marked = &self.slots[(first + offset) % CORES];
            // SAFETY: the caller names the geometry.
            if let Some(heap) = unsafe { marked.slot.peek::<G>() }
                && let Some(held) = marked.holder.take()
            {
                return Some((held, heap));
            }
        }
        None
    }
}

// SAFETY: L1: see the module's concurrency note.
unsafe impl CoreLocal for MarkedCores {
    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core].slot
    }

    #[inline(always)]
    fn core(&self) -> usize {
        core_number() % CORES
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry.
        let (_held, heap) = unsafe { self.take_any::<G>() }?;
        // SAFETY: this context has the mark.
        unsafe { heap.magazine(class).pop() }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: the caller names the geometry.
        let Some((_held, heap)) = (unsafe { self.take_any::<G>() }) else { return Err(block) };
        // SAFETY: this context has the mark.
        unsafe { heap.magazine(class).push(block) }
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: the caller names the geometry.
        if let Some((_held, heap)) = unsafe { self.take_any::<G>() } {
            // SAFETY: this context has the mark.
            unsafe { heap.magazine(class).pop_many(blocks, most) }
        }
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: the caller names the geometry.
        if let Some((_held, heap)) = unsafe { self.take_any::<G>() } {
            // SAFETY: this context has the mark.
            unsafe { heap.magazine(class).push_many(blocks) }
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        let marked = &self.slots[core];
        // SAFETY: the caller names the geometry.
        let heap = unsafe { marked.slot.peek::<G>() }?;
        for _ in 0..ALONE_TRIES {
            if let Some(_held) = marked.holder.take() {
                return Some(work(heap));
            }
            core::hint::spin_loop();
        }
        None
    }
}
