//! Pops and pushes of [`RseqCores`], each a restartable sequence.
//!
//! *Role*: what is the same on every processor. The module above explains the protocol and its invariants.
//!
//! A processor's [`instructions`] are unsafe functions that are given the [`Place`] of a magazine and say what they did there: `pop` the block's
//! address, 0 for none; `push` whether there was room; `pop_many` and `push_many` how many blocks they moved. `pop_many` has room for all that
//! are wanted, from `to` on; `push_many` has all that are `inside`, up to `end`.

use core::num::{NonZeroIsize, NonZeroUsize};
use core::sync::atomic::{AtomicPtr, Ordering};

use coreheap::Geometry;
use coreheap::port::{Block, Blocks, CoreHeap, SizeClass};

use super::{NOBODY, RseqCores, instructions};

/// How a sequence finds its magazine.
#[derive(Clone, Copy)]
pub struct Place {
    /// Where this thread's area lies, from the thread pointer.
    pub area: isize,
    /// Where the core's number lies, from the thread pointer.
    pub number: isize,
    /// The pointer of the number 0.
    pub leads: *const AtomicPtr<()>,
    /// The number of the class; 0 for none. There lie the magazine's pointers.
    pub class: usize,
}

/// Where `rseq_cs` lies in a thread's area.
pub const RSEQ_CS: isize = 8;

impl RseqCores {
    #[inline(always)]
    fn place<G: Geometry>(&self, area: NonZeroIsize, class: Option<SizeClass>) -> Place {
        const { assert!(2 * CoreHeap::<G>::LIMITS < size_of_val(&NOBODY)) };
        Place {
            area: area.get(),
            number: self.number.load(Ordering::Relaxed),
            leads: self.lead_of(0),
            class: class.map_or(0, SizeClass::number),
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
        // SAFETY: the caller names the geometry, so the number leads to a `CoreHeap<G>` with pointers for each class, or to `NOBODY`; Q1 to Q3 keep
        // everybody else off; M1: `newest` points at a block, which is this context's once it was popped, or at a 0.
        unsafe {
            let address = instructions::pop(self.place::<G>(area, Some(class)));
            NonZeroUsize::new(address).map(|address| Block::from_address(address))
        }
    }

    /// Pushes a block into this core's magazine of `class`, or gives it back; always if it is of no class.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block is of that class, if there is one.
    #[inline(always)]
    pub unsafe fn push<G: Geometry>(&self, area: NonZeroIsize, class: Option<SizeClass>, block: Block) -> Result<(), Block> {
        if !G::HAS_MAGAZINES {
            return Err(block);
        }
        // SAFETY: as in `pop`; M1: there is a slot behind `newest` as long as it is below `limit`; no class has room.
        let is_pushed = unsafe { instructions::push::<G>(self.place::<G>(area, class), block.address()) };
        if is_pushed { Ok(()) } else { Err(block) }
    }

    /// Pops until there are `most` blocks in `blocks` or none is left here: one sequence.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); `most` is at most [`Blocks::CAPACITY`].
    pub unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        let inside = blocks.addresses().len();
        let Some(area) = self.area().filter(|_| G::HAS_MAGAZINES && inside < most) else { return };
        let place = self.place::<G>(area, Some(class));
        // SAFETY: as in `pop`; there is room for as many as are wanted, and nobody minds if they are written there twice.
        unsafe {
            let popped = instructions::pop_many(place, blocks.as_mut_ptr().add(inside), most - inside);
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
        let place = self.place::<G>(area, Some(class));
        // SAFETY: as in `push`; only addresses that are inside are read.
        unsafe {
            let pushed = instructions::push_many::<G>(place, blocks.as_mut_ptr().add(inside), inside);
            blocks.set_count(inside - pushed);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
