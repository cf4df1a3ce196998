//! A magazine: a core's small stack of ready blocks of one size class.
//!
//! *Role*: the fast path. A [`CoreLocal`](crate::CoreLocal) pops and pushes; refill and flush go through the same two.
//!
//! ```text
//!                    zero   slots
//! limit  ─────────────────────────────────┐
//! newest ─────────────────────┐           │
//!                      | 0 | a | b | c | · | · | · |
//! ```
//!
//! *Invariants*
//! - M1: `newest` and `limit` point at words of the magazine, the first of which is always 0. The words behind that, its slots, up to `newest`, hold
//!   blocks that the magazine owns; where there are none, `newest` points at the 0. Words behind `newest` mean nothing. `newest` is never moved beyond `limit`.
//! - M2: the store to `newest` commits: a pop or push that is cut off before it never happened.
//! - M3: until the magazine's first use `limit` points at the 0 too: there is no room.
//! - M4: where contexts share the magazine, M2 does not hold, and of M1 no more than that the pointers point at words of the magazine, which
//!   begin with a 0. A slot holds a block that the magazine owns, or 0: a block goes in and out by one atomic operation on its slot. `newest` is a hint, about how many slots hold blocks; these are the first if nobody raced.
//!
//! Why pointers: a block that is freed and allocated again goes through `newest` twice. Processors pass a word on from a store to the next load the faster, the
//! simpler its address is.
//!
//! *Concurrency*: whoever pops or pushes is alone on the magazine; how, is the `CoreLocal`'s matter. Anybody may read the
//! count and set the limit, hence the atomics, all relaxed: plain loads and stores. By M4 nobody need be alone: see
//! [`pop_beside`](Magazine::pop_beside).

use core::num::NonZeroUsize;

use crate::base::block::{Block, Blocks};
use crate::base::sync::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{AtomicPtr, AtomicUsize, StoreAlone};

/// A pointer at a word of a magazine.
pub type SlotPtr = AtomicPtr<AtomicUsize>;

/// A stack of blocks of one size class.
pub struct Magazine<'a> {
    newest: &'a SlotPtr,
    limit: &'a SlotPtr,
    /// The 0 and the slots.
    words: &'a [AtomicUsize],
}

impl<'a> Magazine<'a> {
    /// The magazine of these parts.
    #[inline(always)]
    pub fn new(newest: &'a SlotPtr, limit: &'a SlotPtr, words: &'a [AtomicUsize]) -> Self {
        Magazine { newest, limit, words }
    }

    /// Makes it an empty magazine without room (M3).
    pub fn prepare(&self) {
        self.newest.store(self.word(0), Relaxed);
        self.limit.store(self.word(0), Relaxed);
    }

    /// A pointer at this word: 0 is the 0's place, then come the slots'.
    fn word(&self, place: usize) -> *mut AtomicUsize {
        assert!(place < self.words.len());
        self.words.as_ptr().wrapping_add(place).cast_mut()
    }

    fn slots(&self) -> &'a [AtomicUsize] {
        &self.words[1..]
    }

    /// Takes the newest block out.
    ///
    /// # Safety
    /// The caller is alone on this magazine.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Option<Block> {
        let newest = self.newest.load(Relaxed);
        // SAFETY: M1.
        let address = NonZeroUsize::new(unsafe { (*newest).load(Relaxed) })?;
        // SAFETY: M1: it is not the zero, so there is a word in front of it; the slot owned the block, and by M2 it does not any more.
        unsafe {
            self.newest.store_alone(newest.sub(1));
            Some(Block::from_address(address))
        }
    }

    /// Puts a block in, or gives it back if there is no room.
    ///
    /// # Safety
    /// The caller is alone on this magazine; the block is of its class.
    #[inline(always)]
    pub unsafe fn push(&self, block: Block) -> Result<(), Block> {
        let newest = self.newest.load(Relaxed);
        if newest >= self.limit.load(Relaxed) {
            return Err(block);
        }
        // SAFETY: M1: `limit` points at a word behind it.
        unsafe {
            let next = newest.add(1);
            (*next).store_alone(block.address());
            self.newest.store_alone(next);
        }
        Ok(())
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
        self.place_of(self.newest)
    }

    /// Most blocks that may be inside.
    #[inline]
    pub fn limit(&self) -> usize {
        self.place_of(self.limit)
    }

    fn place_of(&self, pointer: &SlotPtr) -> usize {
        (pointer.load(Relaxed).addr() - self.word(0).addr()) / size_of::<AtomicUsize>()
    }

    /// Most blocks that could be inside, whatever the limit.
    pub fn slot_count(&self) -> usize {
        self.slots().len()
    }

    /// Sets the most blocks that may be inside, at most the number of slots.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(self.word(limit), Relaxed);
    }

    /// The addresses of the blocks inside; a snapshot like [`count`](Self::count).
    pub fn addresses(&self, is_shared: bool) -> impl Iterator<Item = usize> + use<'a> {
        let slots = self.slots();
        let filled = slots.iter().take(if is_shared { slots.len() } else { self.count() });
        filled.map(|slot| slot.load(Relaxed)).filter(|address| *address != 0)
    }

    /// Checks M1, as far as it is about this magazine alone.
    pub fn assert_valid(&self) {
        assert!(self.count() <= self.limit() && self.limit() < self.words.len(), "M1");
        assert_eq!(self.words[0].load(Relaxed), 0, "M1: the word in front of the slots");
    }
}

/// How far the hint may be off before it is corrected: a store is dear where every atomic access is ordered with all others.
const SLACK: usize = 2;

// For contexts that share the magazine (M4).
impl Magazine<'_> {
    /// [`pop`](Self::pop) beside other contexts; calls `raced` when one of them was faster.
    ///
    /// # Safety
    /// The magazine is shared: only this and [`push_beside`](Self::push_beside) are called.
    #[inline(always)]
    pub unsafe fn pop_beside(&self, raced: impl Fn()) -> Option<Block> {
        let (slots, hint) = (self.slots(), self.count());
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
                self.set_hint(index);
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
        let (slots, hint, limit) = (self.slots(), self.count(), self.limit());
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
                self.set_hint(index + 1);
            }
            return Ok(());
        }
        Err(block)
    }

    fn set_hint(&self, count: usize) {
        self.newest.store(self.word(count), Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
