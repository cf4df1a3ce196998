//! Being alone on a core's magazines.
//!
//! *Role*: the trait that says which core this is and how a pop or a push is made safe from everybody else; and the kinds that
//! need no port: [`SingleCore`] and [`TryFlag`].
//!
//! *Invariant* L1: a pop or push of a magazine and another one of the same magazine never overlap, unless the later one makes
//! the earlier one not have happened (a restarted sequence).

use core::marker::PhantomData;

use crate::block::{Block, Blocks};
use crate::core_heap::{CoreHeap, CoreSlot};
use crate::geometry::Geometry;
use crate::size_class::SizeClass;
use crate::sync::CachePadded;

/// Which core is this, and how is a context alone on that core's magazines?
///
/// Most ports need no implementation of their own: [`SingleCore`] and [`TryFlag`] (with a [`CoreNumber`]) cover one core, and many
/// cores with any number as a hint. Implement it where the platform has something better.
///
/// # Safety
///
/// L1: `pop`, `push` and `alone_on` keep each other off a magazine, whatever context calls them, except where the type's own
/// contract forbids the call. They never wait for each other, but for a bounded number of tries in `alone_on`.
/// A value serves one heap only, and always returns the same slots.
pub unsafe trait CoreLocal: Sync {
    /// How many cores there can be.
    fn core_count(&self) -> usize;

    /// The slot of core `core`, which is below [`core_count`](Self::core_count).
    fn slot(&self, core: usize) -> &CoreSlot;

    /// The core this runs on, below [`core_count`](Self::core_count). A hint: it may have changed when this returns.
    fn core(&self) -> usize;

    /// Pops a block from this core's magazine of `class`; `None` if it is empty, busy, or not there.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value, and `class` a class of it.
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block>;

    /// Pushes a block into this core's magazine of `class`; gives it back if that is full, busy, or not there.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block is of that class.
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block>;

    /// Another way to pop, tried when [`pop`](Self::pop) gave nothing: for a `CoreLocal` whose fast way is not there on every system.
    /// Called out of line, so that it costs the fast way nothing.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    #[inline]
    unsafe fn pop_otherwise<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        let _ = class;
        None
    }

    /// Another way to push, as [`pop_otherwise`](Self::pop_otherwise).
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline]
    unsafe fn push_otherwise<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        let _ = class;
        Err(block)
    }

    /// Pops until there are `most` blocks in `blocks`, or the magazine is empty, busy, or not there.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); `most` is at most [`Blocks::CAPACITY`].
    #[inline]
    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        while blocks.addresses().len() < most {
            // SAFETY: the caller's promise.
            let Some(block) = (unsafe { self.pop::<G>(class) }) else { break };
            blocks.add(block);
        }
    }

    /// Pushes from `blocks`, the last first, until none is left, or the magazine is full, busy, or not there.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline]
    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        while let Some(block) = blocks.remove() {
            // SAFETY: the caller's promise.
            if let Err(back) = unsafe { self.push::<G>(class, block) } {
                return blocks.add(back);
            }
        }
    }

    /// Runs `work` while nobody else pops or pushes on core `core`'s magazines; `None` if that cannot be had now.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R>;
}

/// One core, and no context that interrupts an allocation or free by another one: WebAssembly without threads, firmware that
/// does not allocate in interrupts. Costs nothing.
#[derive(Debug)]
pub struct SingleCore {
    slot: CoreSlot,
}

impl SingleCore {
    cfg_if::cfg_if! {
        if #[cfg(loom)] {
            /// See the `const` form.
            ///
            /// # Safety
            /// As there.
            pub unsafe fn new() -> Self {
                SingleCore { slot: CoreSlot::new() }
            }
        } else {
            /// For a heap that is only ever used by one context at a time.
            ///
            /// # Safety
            /// No call into the heap is made while another one is under way: no second thread or core, no interrupt or signal
            /// handler.
            pub const unsafe fn new() -> Self {
                SingleCore { slot: CoreSlot::new() }
            }
        }
    }
}

// SAFETY: L1: the contract of `new` leaves nobody to overlap with.
unsafe impl CoreLocal for SingleCore {
    fn core_count(&self) -> usize {
        1
    }

    fn slot(&self, _: usize) -> &CoreSlot {
        &self.slot
    }

    #[inline(always)]
    fn core(&self) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; the contract of `new` makes this context alone.
        unsafe { self.slot.peek::<G>()?.magazine(class).pop() }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: as in `pop`.
        match unsafe { self.slot.peek::<G>() } {
            // SAFETY: as in `pop`.
            Some(heap) => unsafe { heap.magazine(class).push(block) },
            None => Err(block),
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, _: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: as in `pop`.
        unsafe { self.slot.peek::<G>() }.map(work)
    }
}

/// Any number that tells contexts apart: the core's, or a thread's. Only speed depends on it.
pub trait CoreNumber: Send + Sync + 'static {
    /// The number of the core this runs on, taken modulo the number of slots.
    fn core_number() -> usize;
}

/// Many cores, any context: a core heap is taken out of its slot for the few instructions of a pop or push, by one atomic swap,
/// and put back. If it is out already (another context, or the one that this one interrupts), the next core's slot is tried, and
/// then the page bitmaps serve. Nobody waits.
#[derive(Debug)]
pub struct TryFlag<N, const CORES: usize> {
    slots: [CachePadded<CoreSlot>; CORES],
    number: PhantomData<N>,
}

impl<N: CoreNumber, const CORES: usize> TryFlag<N, CORES> {
    /// How many slots a pop or push tries.
    const TRIES: usize = 2;
    /// How often [`alone_on`](CoreLocal::alone_on) tries, which is long enough for any pop or push that is running to end.
    const ALONE_TRIES: usize = if cfg!(any(loom, miri)) { 2 } else { 1000 };

    cfg_if::cfg_if! {
        if #[cfg(loom)] {
            /// With `CORES` slots, all empty.
            pub fn new() -> Self {
                TryFlag { slots: core::array::from_fn(|_| CachePadded(CoreSlot::new())), number: PhantomData }
            }
        } else {
            /// With `CORES` slots, all empty.
            pub const fn new() -> Self {
                TryFlag { slots: [const { CachePadded(CoreSlot::new()) }; CORES], number: PhantomData }
            }
        }
    }

    /// Takes out a core heap, this core's if it can be had, and runs `work` on it and `input`, which comes back if there is none.
    #[inline(always)]
    unsafe fn with_any<G: Geometry, T, R>(&self, input: T, work: impl FnOnce(&CoreHeap<G>, T) -> R) -> Result<R, T> {
        let first = self.core();
        for offset in 0..Self::TRIES.min(CORES) {
            let slot = &self.slots[(first + offset) % CORES].0;
            // SAFETY: the caller names the geometry; put back below.
            if let Some(heap) = unsafe { slot.take_out::<G>() } {
                let result = work(heap, input);
                slot.put_back(heap);
                return Ok(result);
            }
        }
        Err(input)
    }
}

impl<N: CoreNumber, const CORES: usize> Default for TryFlag<N, CORES> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: only the context that took a core heap out of its slot pops and pushes on it.
unsafe impl<N: CoreNumber, const CORES: usize> CoreLocal for TryFlag<N, CORES> {
    fn core_count(&self) -> usize {
        CORES
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core].0
    }

    #[inline(always)]
    fn core(&self) -> usize {
        N::core_number() % CORES
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; `with_any` makes this context alone.
        unsafe { self.with_any::<G, _, _>((), |heap, ()| heap.magazine(class).pop()) }.ok().flatten()
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: as in `pop`.
        unsafe { self.with_any::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)) }.flatten()
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: as in `pop`. Busy slots leave the blocks as they are.
        let _ = unsafe { self.with_any::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).pop_many(blocks, most)) };
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: as in `pop_many`.
        let _ = unsafe { self.with_any::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).push_many(blocks)) };
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        let slot = &self.slots[core].0;
        for _ in 0..Self::ALONE_TRIES {
            // SAFETY: the caller names the geometry; put back below.
            if let Some(heap) = unsafe { slot.take_out::<G>() } {
                let result = work(heap);
                slot.put_back(heap);
                return Some(result);
            }
            core::hint::spin_loop();
        }
        None
    }
}

#[cfg(all(test, loom))]
mod model;
