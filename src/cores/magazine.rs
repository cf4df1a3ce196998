//! A magazine: a core's small stack of ready blocks of one size class.
//!
//! *Role*: the fast path. A [`CoreLocal`](crate::CoreLocal) pops and pushes; refill and flush go through the same two.
//!
//! *Invariants*
//! - M1: slots below `count` hold blocks that the magazine owns; `count` is at most the number of slots.
//! - M2: the store to `count` commits: a pop or push that is cut off before it never happened.
//! - M3: `limit` is 0 until the magazine's first use, so that memory that is all zero is an empty magazine.
//! - M4: where contexts share the magazine, M1 and M2 do not hold. A slot holds a block that the magazine owns, or 0: a block goes in and
//!   out by one atomic operation on its slot. `count` is a hint, about how many slots hold blocks; these are the first if nobody raced.
//!
//! *Concurrency*: whoever pops or pushes is alone on the magazine; how, is the `CoreLocal`'s matter. Anybody may read the
//! count and set the limit, hence the atomics, all relaxed: plain loads and stores. By M4 nobody need be alone: see
//! [`pop_beside`](Magazine::pop_beside).

use core::num::NonZeroUsize;

use crate::base::block::{Block, Blocks};
use crate::base::sync::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{AtomicU32, AtomicUsize, StoreAlone};
use crate::pages::geometry::Geometry;

/// A stack of blocks of one size class. The layout is fixed: ports pop and push in assembly.
#[repr(C)]
pub struct Magazine<G: Geometry> {
    count: AtomicU32,
    limit: AtomicU32,
    slots: G::MagazineSlots,
}

impl<G: Geometry> Magazine<G> {
    #[cfg(all(test, any(loom, miri)))]
    crate::base::sync::const_but_in_models! {
        /// A magazine over these slots, for models that cannot start from zeroed memory.
        pub fn from_slots(slots: G::MagazineSlots) -> Self {
            Magazine { count: AtomicU32::new(0), limit: AtomicU32::new(G::MAGAZINE_SLOTS as u32), slots }
        }
    }

    /// Takes the newest block out.
    ///
    /// # Safety
    /// The caller is alone on this magazine.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Option<Block> {
        let count = self.count.load(Relaxed).checked_sub(1)?;
        // SAFETY: M1.
        let address = unsafe { self.slot(count) }.load(Relaxed);
        self.count.store_alone(count);
        // SAFETY: M1: the slot owned the block, and none lies at 0; by M2 it does not any more.
        Some(unsafe { Block::from_address(NonZeroUsize::new_unchecked(address)) })
    }

    /// Puts a block in, or gives it back if there is no room.
    ///
    /// # Safety
    /// The caller is alone on this magazine; the block is of its class.
    #[inline(always)]
    pub unsafe fn push(&self, block: Block) -> Result<(), Block> {
        let count = self.count.load(Relaxed);
        if count >= self.limit.load(Relaxed) {
            return Err(block);
        }
        // SAFETY: M1: the limit is at most the number of slots.
        unsafe { self.slot(count) }.store_alone(block.address());
        self.count.store_alone(count + 1);
        Ok(())
    }

    /// A slot, without a look at how many there are: a check would be a call, for which the fast path had to make room.
    ///
    /// # Safety
    /// There is that slot.
    #[inline(always)]
    unsafe fn slot(&self, index: u32) -> &AtomicUsize {
        let slots = self.slots.as_ref();
        debug_assert!((index as usize) < slots.len(), "M1");
        // SAFETY: the caller's promise.
        unsafe { slots.get_unchecked(index as usize) }
    }

    /// Pops until there are `most` blocks in `blocks`, or none is left here.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop).
    pub unsafe fn pop_many(&self, blocks: &mut Blocks, most: usize) {
        while blocks.addresses().len() < most {
            // SAFETY: the caller's promise.
            let Some(block) = (unsafe { self.pop() }) else { break };
            blocks.add(block);
        }
    }

    /// Pushes from `blocks`, the last first, until none is left there, or there is no room here.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub unsafe fn push_many(&self, blocks: &mut Blocks) {
        while let Some(block) = blocks.remove() {
            // SAFETY: the caller's promise.
            if let Err(back) = unsafe { self.push(block) } {
                return blocks.add(back);
            }
        }
    }

    /// How many blocks are inside; a snapshot unless the caller is alone on the magazine.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Most blocks that may be inside.
    #[inline]
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed) as usize
    }

    /// Sets the most blocks that may be inside, at most the number of slots.
    pub fn set_limit(&self, limit: usize) {
        assert!(limit <= G::MAGAZINE_SLOTS);
        self.limit.store(limit as u32, Relaxed);
    }

    /// The addresses of the blocks inside; a snapshot like [`count`](Self::count).
    pub fn addresses(&self, is_shared: bool) -> impl Iterator<Item = usize> {
        let slots = self.slots.as_ref();
        let filled = slots.iter().take(if is_shared { slots.len() } else { self.count() });
        filled.map(|slot| slot.load(Relaxed)).filter(|address| *address != 0)
    }
}

/// How far the hint may be off before it is corrected: a store is dear where every atomic access is ordered with all others.
const SLACK: usize = 2;

// For contexts that share the magazine (M4).
impl<G: Geometry> Magazine<G> {
    /// [`pop`](Self::pop) beside other contexts; calls `raced` when one of them was faster.
    ///
    /// # Safety
    /// The magazine is shared: only this and [`push_beside`](Self::push_beside) are called.
    #[inline(always)]
    pub unsafe fn pop_beside(&self, raced: impl Fn()) -> Option<Block> {
        let (slots, hint) = (self.slots.as_ref(), self.count());
        let top = slots.len().min(hint + SLACK);
        // Behind the top there are blocks only after a race.
        for index in (0..top).rev().chain(top..slots.len()) {
            if slots[index].load(Relaxed) == 0 {
                continue;
            }
            // Acquire pairs with the Release in `push_beside`.
            let Some(address) = NonZeroUsize::new(slots[index].swap(0, Acquire)) else {
                raced();
                continue;
            };
            if index + SLACK < hint {
                self.count.store(index as u32, Relaxed);
            }
            // SAFETY: M4: the slot owned the block, and does not any more.
            return Some(unsafe { Block::from_address(address) });
        }
        None
    }

    /// [`push`](Self::push) beside other contexts; calls `raced` when one of them was faster.
    ///
    /// # Safety
    /// As for [`pop_beside`](Self::pop_beside), and the block is of the magazine's class.
    #[inline(always)]
    pub unsafe fn push_beside(&self, block: Block, raced: impl Fn()) -> Result<(), Block> {
        let (slots, hint, limit) = (self.slots.as_ref(), self.count(), self.limit());
        let from = limit.min(hint.saturating_sub(SLACK));
        for index in (from..limit).chain(0..from) {
            if slots[index].load(Relaxed) != 0 {
                continue;
            }
            // Release: what was done with the block comes before its next owner.
            if slots[index].compare_exchange(0, block.address(), Release, Relaxed).is_err() {
                raced();
                continue;
            }
            if index + 1 > hint + SLACK {
                self.count.store(index as u32 + 1, Relaxed);
            }
            return Ok(());
        }
        Err(block)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
