//! Pops and pushes of [`RseqCores`], each a restartable sequence.
//!
//! *Role*: what is the same on every processor. The module above explains the protocol and its invariants.
//!
//! A processor's [`instructions`] are unsafe functions that are given the [`Place`] of a magazine and say what they did there, 0 for nothing:
//! `pop` the block's address, `push` the new count, `pop_many` and `push_many` how many blocks they moved. `pop_many` has room for all that
//! are wanted, from `to` on; `push_many` has all that are `inside`, up to `end`.

use core::num::{NonZeroIsize, NonZeroUsize};
use core::sync::atomic::Ordering;

use coreheap::Geometry;
use coreheap::port::{Block, Blocks, CoreSlot, Magazine, SizeClass};

use super::{RseqCores, instructions};

/// How a sequence finds its magazine.
#[derive(Clone, Copy)]
pub struct Place {
    /// Where this thread's area lies, from the thread pointer.
    pub area: isize,
    /// Where the core's number lies, from the thread pointer.
    pub number: isize,
    /// The slot of core 0.
    pub core_slots: *const CoreSlot,
    /// Where the magazine lies in a core heap.
    pub magazine: usize,
}

/// Where `rseq_cs` lies in a thread's area.
pub const RSEQ_CS: isize = 8;
// A magazine is its count, its limit and its slots; a core heap begins with its magazines; a slot begins with `open`.
pub const LIMIT: usize = 4;
pub const SLOTS: usize = 8;
/// A core's number becomes a slot's offset by a shift.
pub const SLOT_SHIFT: u32 = size_of::<CoreSlot>().trailing_zeros();
const _: () = assert!(size_of::<CoreSlot>().is_power_of_two());

impl RseqCores {
    #[inline(always)]
    fn place<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass) -> Place {
        Place {
            area: area.get(),
            number: self.number.load(Ordering::Relaxed),
            core_slots: self.slots.as_ptr(),
            magazine: class.index() * size_of::<Magazine<G>>(),
        }
    }

    /// Pops a block from this core's magazine of `class`.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value, `class` a class of it, and `area` what [`area`](Self::area) said.
    #[inline(always)]
    pub unsafe fn pop<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass) -> Option<Block> {
        if !G::HAS_MAGAZINES {
            return None;
        }
        // SAFETY: the caller names the geometry, so `open` leads to a `CoreHeap<G>` with a magazine for each class; Q1 to Q3 keep
        // everybody else off; M1: slots below `count` hold blocks, and the one that was popped is this context's.
        unsafe {
            let address = instructions::pop(self.place::<G>(area, class));
            NonZeroUsize::new(address).map(|address| Block::from_address(address))
        }
    }

    /// Pushes a block into this core's magazine of `class`, or gives it back.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block is of that class.
    #[inline(always)]
    pub unsafe fn push<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass, block: Block) -> Result<(), Block> {
        if !G::HAS_MAGAZINES {
            return Err(block);
        }
        // SAFETY: as in `pop`; M1: there is a slot for each count below `limit`.
        let new_count = unsafe { instructions::push(self.place::<G>(area, class), block.address()) };
        if new_count != 0 { Ok(()) } else { Err(block) }
    }

    /// Pops until there are `most` blocks in `blocks` or none is left here: one sequence.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); `most` is at most [`Blocks::CAPACITY`].
    pub unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        let inside = blocks.addresses().len();
        let Some(area) = self.area().filter(|_| G::HAS_MAGAZINES && inside < most) else { return };
        // SAFETY: as in `pop`; there is room for as many as are wanted, and nobody minds if they are written there twice.
        unsafe {
            let popped = instructions::pop_many(self.place::<G>(area, class), blocks.as_mut_ptr().add(inside), most - inside);
            blocks.set_count(inside + popped);
        }
    }

    /// Pushes from `blocks`, the last first, until none is left there or there is no room here: one sequence.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        let inside = blocks.addresses().len();
        let Some(area) = self.area().filter(|_| G::HAS_MAGAZINES && inside > 0) else { return };
        // SAFETY: as in `push`; only addresses that are inside are read.
        unsafe {
            let pushed = instructions::push_many(self.place::<G>(area, class), blocks.as_mut_ptr().add(inside), inside);
            blocks.set_count(inside - pushed);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
