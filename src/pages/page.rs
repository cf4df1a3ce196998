//! Pages: runs of slices cut into blocks of one size class. Their free blocks are bitmaps, apart from the blocks.
//!
//! *Role*: magazines are refilled from here ([`Page::take`]) and flushed to here ([`Page::give`]). Headers live in groups that are made once
//! and stay until the whole heap goes.
//!
//! *States* of a header ([`Phase`]), in one word; nothing else happens to it:
//!
//! | from | event | to | by |
//! |---|---|---|---|
//! | Unused | its bit in the group's `unused` is claimed | Claimed, next epoch | who claimed the bit |
//! | Claimed | [`open`](Page::open): fields first, then the words | Held | the claimer |
//! | Claimed | [`open_large`](Page::open_large): fields first | Large | the claimer |
//! | Claimed | [`close`](Page::close) | Unused, then the bit in `unused` | the claimer |
//! | Listed | [`hold_listed`](PageGroup::hold_listed) | Held | who is first |
//! | Held | [`let_go`](Page::let_go), with a free block | Listed, then its bit in `listed` | the holder |
//! | Held | [`let_go`](Page::let_go), without | Full | the holder |
//! | Full | [`give`](Page::give) to a word without a free block | Listed, then its bit in `listed` | who is first of givers, and of who let go and looks again |
//! | Listed, Full | the last block has come back: [`hold`](Page::hold) | Held | the same |
//! | Held | [`claim_all`](Page::claim_all): every block is free, and claimed | Claimed | the holder |
//! | Large | [`claim_large`](Page::claim_large) | Claimed | who frees the block |
//! | Claimed | [`begin_waiting`](Page::begin_waiting): then its address goes into a magazine | Waiting | the same |
//! | Waiting | [`reopen_large`](Page::reopen_large) | Large, next epoch | who has it out of the magazine |
//! | Waiting | [`end_waiting`](Page::end_waiting) | Claimed | the same, or who could not put it in |
//!
//! *Invariants*
//! - P1: a bit of `words` is set if and only if its block is free; bits beyond `block_count` are never set.
//! - P2: a page's fields change only while its header is claimed, and then no bit is set and no block is out. So whoever owns a block of the
//!   page, or has claimed one of its bits, reads them stable, and the page stays what it is. (A large block's owner changes its length.)
//! - P3: a page has one holder at most. Anybody may take from a page, held or not; who did not hold it looks at the class with the bits in hand,
//!   and gives them back if it has come to another page ([`Stray`]).
//! - P4: a page with a free block is held, or listed, with its bit in the group's `listed` set; or a context that set the first bit of a word, or let the page
//!   go, has not looked at the state since. (A bit in `listed` says where to look; the state decides.)
//! - P5: a page whose blocks are all free is held; or a context that set a bit, or let the page go, has not looked at the state since.
//!
//! *Concurrency*: giving sets a bit, then reads the state; letting go changes the state, then reads the bits. These are in one total order, so
//! at least one side sees the other (P4, P5).

mod group;
mod state;

use crate::base::batch::{Batch, WordBlocks, divide, reciprocal};
use crate::base::bitmap::{claim_exactly, claim_lowest, mask};
use crate::base::size_class::SizeClass;
use crate::base::sync::{
    AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering, WORD_BITS, load_in_total_order, set_in_total_order,
};
use crate::pages::geometry::Geometry;
pub use group::PageGroup;
use state::{Phase, State, StateWord};

/// A page header.
#[repr(C)]
pub struct Page<G: Geometry> {
    /// The group this header lies in. Never changes.
    group: AtomicPtr<PageGroup<G>>,
    /// Address of block 0.
    start: AtomicUsize,
    /// 2^32 / block size, rounded up: turns an offset into a block number.
    reciprocal: AtomicU32,
    slice_count: AtomicU32,
    state: StateWord,
    block_count: AtomicU16,
    /// Position in the group. Never changes.
    index: AtomicU8,
    /// The word where free blocks were last seen.
    hint: AtomicU8,
    words: G::PageWords,
}

impl<G: Geometry> Page<G> {
    /// Number of this header inside its arena, given its group's number.
    pub fn id(&self, group_number: usize) -> usize {
        group_number * WORD_BITS + self.index.load(Ordering::Relaxed) as usize
    }

    /// The page's class; `None` for a large block or an unused header.
    #[inline]
    pub fn class(&self) -> Option<SizeClass> {
        self.state.load().class()
    }

    /// Address of the first block.
    pub fn start(&self) -> usize {
        self.start.load(Ordering::Relaxed)
    }

    /// How many slices the page, or the large block, has.
    pub fn slice_count(&self) -> usize {
        self.slice_count.load(Ordering::Relaxed) as usize
    }

    /// How many blocks the page is cut into.
    pub fn block_count(&self) -> usize {
        self.block_count.load(Ordering::Relaxed) as usize
    }

    /// How many blocks are free in the page (not in magazines): a snapshot.
    pub fn free_count(&self) -> usize {
        self.words().iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// Describes a fresh page, which the caller holds then. The caller claimed the header and owns the slices from `start` on.
    pub fn open(&self, class: SizeClass, start: usize, slice_count: usize) {
        let size = class.block_size();
        let blocks = (slice_count * G::SLICE_SIZE / size).min(G::PAGE_BLOCKS);
        self.start.store(start, Ordering::Relaxed);
        self.reciprocal.store(reciprocal(size), Ordering::Relaxed);
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
        self.block_count.store(blocks as u16, Ordering::Relaxed);
        self.hint.store(0, Ordering::Relaxed);
        for (index, word) in self.words()[..blocks.div_ceil(WORD_BITS)].iter().enumerate() {
            // Publishes the fields above, and the claim, to whoever claims a bit (P2).
            word.store(mask_of(blocks, index), Ordering::Release);
        }
        self.state.publish(self.state.load().with_class(class));
    }

    /// Claims up to `want` free blocks of a page of this class, all of one word. If this is a page of another class by now, what was claimed is
    /// that page's, and the caller gives it back.
    pub fn take(&self, class: SizeClass, want: usize) -> Option<Result<Batch, Stray>> {
        let words = &self.words()[..self.word_count().min(self.words().len())];
        let hint = self.hint.load(Ordering::Relaxed) as usize;
        for index in (hint..words.len()).chain(0..hint.min(words.len())) {
            if words[index].load(Ordering::Relaxed) == 0 {
                continue;
            }
            let bits = claim_lowest(&words[index], want);
            if bits == 0 {
                continue;
            }
            if self.class() != Some(class) {
                return Some(Err(Stray { word: index, bits }));
            }
            self.hint.store(index as u8, Ordering::Relaxed);
            let size = class.block_size();
            return Some(Ok(Batch::new(self.start() + index * WORD_BITS * size, size, bits)));
        }
        None
    }

    /// Which bit stands for the block at this address, as word and position; `None` if no block starts there.
    /// The caller owns a block of this page, or suspects that the address is a mistake.
    pub fn locate(&self, address: usize) -> Option<(usize, usize)> {
        let offset = address.wrapping_sub(self.start());
        let size = self.class()?.block_size();
        let block = divide(offset, self.reciprocal.load(Ordering::Relaxed));
        (block < self.block_count() && block * size == offset).then_some((block / WORD_BITS, block % WORD_BITS))
    }

    /// The blocks that one word of the bitmap stands for, in a page of this class of which the caller owns a block.
    #[inline]
    pub fn word_blocks(&self, class: SizeClass, word: usize) -> WordBlocks {
        let size = class.block_size();
        let start = self.start() + word * WORD_BITS * size;
        let count = (self.block_count() - word * WORD_BITS).min(WORD_BITS);
        WordBlocks::new(start, count, size, self.reciprocal.load(Ordering::Relaxed))
    }

    /// Gives blocks that the caller owns back, all of one word.
    pub fn give(&self, word: usize, bits: usize) -> Given {
        // With a block in hand (P2).
        let (page, full) = (self.state.load(), self.full(word));
        let old = set_in_total_order(&self.words()[word], bits);
        // From here on the blocks are others', and this may be another page.
        if old == 0 {
            self.list_if_full(page);
        }
        let is_empty = old | bits == full && self.is_empty();
        Given { double: old & bits != 0, emptied: is_empty.then_some(Emptied(page)) }
    }

    /// Holds this page if it is listed under `class`.
    fn hold_listed(&self, class: SizeClass) -> bool {
        let state = self.state.load();
        let held =
            state.phase() == Phase::Listed && state.class() == Some(class) && self.state.change(state, state.with(Phase::Held));
        if held {
            self.leave_listed(class);
        }
        held
    }

    /// Holds a page that a [`give`](Self::give) has emptied, if it still lies here and nobody else holds it: then that is who gives it back.
    pub fn hold(&self, Emptied(page): Emptied) -> bool {
        loop {
            let state = self.state.load_in_total_order();
            if !state.is_same_claim(page) || !matches!(state.phase(), Phase::Listed | Phase::Full) {
                return false;
            }
            if self.state.change(state, state.with(Phase::Held)) {
                if let (Phase::Listed, Some(class)) = (state.phase(), state.class()) {
                    self.leave_listed(class);
                }
                return true;
            }
        }
    }

    /// Ends the caller's hold on a page. False if every block has come back meanwhile: the caller holds the page again, to
    /// [claim](Self::claim_all) all of it.
    pub fn let_go(&self) -> bool {
        let held = self.state.load();
        let has_room = || self.words().iter().any(|word| load_in_total_order(word) != 0);
        if has_room() {
            self.state.replace_in_total_order(held.with(Phase::Listed));
            self.enter_listed(held);
        } else {
            self.state.replace_in_total_order(held.with(Phase::Full));
            // Who gave a block back before it could see this has left the page to this context (P4).
            if has_room() {
                self.list_if_full(held);
            }
        }
        // The same for who gave the last block back (P5).
        !(self.is_empty() && self.hold(Emptied(held)))
    }

    /// Claims every block of a page that the caller holds, and with them the header and the slices; false if one of them is not free.
    pub fn claim_all(&self) -> bool {
        let is_claimed = self.is_empty() && self.claim_words();
        if is_claimed {
            self.state.publish(self.state.load().without_class(Phase::Claimed));
        }
        is_claimed
    }

    /// Claims all bits, or none: another context may take one meanwhile.
    fn claim_words(&self) -> bool {
        let words = &self.words()[..self.word_count()];
        let claimed = words.iter().enumerate().take_while(|(index, word)| claim_exactly(word, self.full(*index))).count();
        if claimed < words.len() {
            // Nobody lists a page that is held.
            words[..claimed].iter().enumerate().for_each(|(index, word)| {
                set_in_total_order(word, self.full(index));
            });
        }
        claimed == words.len()
    }

    /// Makes a header that the caller claimed unused.
    pub fn close(&self) {
        self.state.publish(self.state.load().without_class(Phase::Unused));
        // Publishes the state to whoever claims the header next.
        self.group().unused.fetch_or(self.bit(), Ordering::Release);
    }

    /// Describes a large block; the caller claimed the header and owns the slices.
    pub fn open_large(&self, start: usize, slice_count: usize) {
        self.start.store(start, Ordering::Relaxed);
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
        self.state.publish(self.state.load().without_class(Phase::Large));
    }

    /// Whether the header describes a large block.
    pub fn is_large(&self) -> bool {
        self.state.load().phase() == Phase::Large
    }

    /// Claims the header of the large block that starts at `start`, for freeing it: false if none does, or it was freed before.
    pub fn claim_large(&self, start: usize) -> bool {
        let state = self.state.load();
        state.phase() == Phase::Large && self.start() == start && self.state.change(state, state.with(Phase::Claimed))
    }

    /// Has a large block wait that the caller claimed.
    pub fn begin_waiting(&self) {
        self.state.publish(self.state.load().with(Phase::Waiting));
    }

    /// Claims a large block that waited; the caller has it from its magazine, or could not put it there.
    pub fn end_waiting(&self) {
        self.state.publish(self.state.load().with(Phase::Claimed));
    }

    /// Whether the header describes a large block that waits.
    pub fn is_waiting(&self) -> bool {
        self.state.load().phase() == Phase::Waiting
    }

    /// How often the header was claimed, or its large block handed out anew, modulo some million.
    pub fn claims(&self) -> usize {
        self.state.load().epoch()
    }

    /// Describes a large block that waited once more as one of the program's; the caller has it from its magazine.
    pub fn reopen_large(&self) {
        self.state.publish(self.state.load().next_claim().without_class(Phase::Large));
    }

    /// Notes that a large block grew or shrank in place; the caller owns it.
    pub fn set_slice_count(&self, slice_count: usize) {
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
    }

    /// Whether any context holds the page: a snapshot.
    pub fn is_held(&self) -> bool {
        self.state.load().phase() == Phase::Held
    }

    /// Whether this block is free in the page.
    pub fn is_free(&self, word: usize, bit: usize) -> bool {
        self.words()[word].load(Ordering::Relaxed) >> bit & 1 != 0
    }

    /// Checks P1, P4 and P5 while nobody works on the page.
    pub fn assert_valid(&self) {
        let (state, free) = (self.state.load(), self.free_count());
        let is_page = matches!(state.phase(), Phase::Held | Phase::Listed | Phase::Full);
        assert_eq!(state.class().is_some(), is_page, "only a page has a class: {state:?}");
        assert_ne!(state.phase(), Phase::Claimed, "a header that nobody has was claimed");
        let Some(class) = state.class() else {
            assert_eq!(free, 0, "P1: free blocks where there is no page");
            return;
        };
        for (index, word) in self.words().iter().enumerate() {
            assert_eq!(word.load(Ordering::Relaxed) & !self.full(index), 0, "P1: a bit beyond the last block");
        }
        match state.phase() {
            Phase::Full => assert_eq!(free, 0, "P4: free blocks that nobody can find"),
            Phase::Listed => {
                assert_ne!(self.listed(class).load(Ordering::Relaxed) & self.bit(), 0, "P4: a listed page that nobody can find");
                assert_ne!(free, self.block_count(), "P5: an empty page that nobody gave back");
            }
            _ => {}
        }
    }

    /// Lists the page that had this state, if it still lies here without being held or listed.
    fn list_if_full(&self, page: State) {
        let state = self.state.load_in_total_order();
        if state.is_same_claim(page) && state.phase() == Phase::Full && self.state.change(state, state.with(Phase::Listed)) {
            self.enter_listed(state);
        }
    }

    /// Makes a page that this context has listed easy to find.
    fn enter_listed(&self, listed: State) {
        if let Some(class) = listed.class() {
            // In no order: a search that comes too early for the state passes the page by.
            self.listed(class).fetch_or(self.bit(), Ordering::Relaxed);
        }
    }

    /// A page that this context holds now is not searched for.
    fn leave_listed(&self, class: SizeClass) {
        self.listed(class).fetch_and(!self.bit(), Ordering::Relaxed);
    }

    /// Whether all blocks are free, in the total order.
    fn is_empty(&self) -> bool {
        let count = self.block_count();
        let words = self.words()[..self.word_count()].iter().enumerate();
        words.rev().all(|(index, word)| load_in_total_order(word) == mask_of(count, index))
    }

    fn listed(&self, class: SizeClass) -> &AtomicUsize {
        self.group().listed(class)
    }

    fn group(&self) -> &PageGroup<G> {
        // SAFETY: set once when the group was made, which stays as long as its headers do.
        unsafe { &*self.group.load(Ordering::Relaxed) }
    }

    /// The page's bit in its group's words.
    fn bit(&self) -> usize {
        1 << self.index.load(Ordering::Relaxed)
    }

    fn word_count(&self) -> usize {
        self.block_count().div_ceil(WORD_BITS)
    }

    /// The mask of the blocks that word `index` stands for.
    #[inline]
    fn full(&self, index: usize) -> usize {
        mask_of(self.block_count(), index)
    }

    fn words(&self) -> &[AtomicUsize] {
        self.words.as_ref()
    }
}

/// Of so many blocks, those that word `index` stands for.
#[inline]
fn mask_of(blocks: usize, index: usize) -> usize {
    mask(0, blocks.saturating_sub(index * WORD_BITS).min(WORD_BITS))
}

/// What giving blocks back showed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// One of the blocks was free already: a double free.
    pub double: bool,
    /// Every block of the page was free. The caller looks whether it can [hold](Page::hold) the page, and gives it back.
    pub emptied: Option<Emptied>,
}

/// The state of a page all of whose blocks were free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emptied(State);

/// Blocks that were claimed from a page that had been looked for as one of another class.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The word that they are in.
    pub word: usize,
    /// Their bits.
    pub bits: usize,
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
pub mod model;

#[cfg(all(test, preempted))]
mod stress;
