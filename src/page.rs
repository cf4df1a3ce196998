//! Pages: runs of slices cut into blocks of one size class. Their free blocks are bitmaps, apart from the blocks.
//!
//! *Role*: magazines are refilled from here ([`Page::take`]) and flushed to here ([`Page::give`]). Headers live in groups
//! that are made once and stay until the whole heap goes, so a stale reference to a header is harmless.
//!
//! *States* of a page with free blocks: **held** (some context works with it, or it is a core heap's current page) or
//! **listed** (its bit among its group's `room` words is set, so that any core that runs dry finds it). A page without free
//! blocks is neither; the first block that comes back lists it. An empty page is **retired** by whoever holds it and
//! claims each of its blocks; its header then describes nothing until it is opened again.
//!
//! *Invariants*
//! - P1: a bit of `words` is set if and only if its block is free; bits beyond `block_count` are never set.
//! - P2: header fields other than `words`, `held` and `hint` change only while no bit is set and no block is out. So whoever owns
//!   a block of the page, or has claimed one of its bits, reads them stable.
//! - P3: a reference to a header may be stale: the page may have been retired and opened for another class. Whoever claims
//!   bits through such a reference checks the class after and gives them back if it differs.
//! - P4: a page with free blocks is listed, or somebody who set `held` has yet to [`let_go`](Page::let_go), which looks again. Two
//!   contexts may by bad luck both hold a page; that costs speed only.
//!
//! *Concurrency*: giving sets a bit, then reads `held`; letting go clears `held`, then reads the bits. Both pairs are in one
//! total order, so at least one side sees the other (P4).

use crate::batch::{Batch, Span, divide, reciprocal};
use crate::bitmap::{claim_exactly, claim_lowest, mask};
use crate::geometry::{Geometry, LARGE, NONE};
use crate::size_class::SizeClass;
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering, WORD_BITS, load_flag_in_total_order,
    load_in_total_order, set_in_total_order, store_flag_in_total_order,
};

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
    block_count: AtomicU16,
    /// Index of the size class, or [`LARGE`], or [`NONE`].
    class: AtomicU8,
    /// Position in the group. Never changes.
    index: AtomicU8,
    held: AtomicBool,
    /// The word where free blocks were last seen.
    hint: AtomicU8,
    words: G::PageWords,
}

/// Page headers that are made together, with the bits that say which are unused and which pages have room.
#[repr(C)]
pub struct PageGroup<G: Geometry> {
    pages: G::PageGroup<Page<G>>,
    /// Pages that are listed: a word for each class, or for several.
    room: G::RoomWords,
    /// Headers that describe nothing.
    unused: AtomicUsize,
}

impl<G: Geometry> PageGroup<G> {
    /// Makes the group usable.
    ///
    /// # Safety
    /// `group` points to zeroed memory that is the caller's and stays a group from now on.
    pub unsafe fn init<'a>(group: *mut Self) -> &'a Self {
        // SAFETY: all fields are atomics, valid when zero; nobody else has the address yet.
        let this = unsafe { &*group };
        let pages = this.pages.as_ref();
        for (index, page) in pages.iter().enumerate() {
            page.group.store(group, Ordering::Relaxed);
            page.index.store(index as u8, Ordering::Relaxed);
            page.class.store(NONE, Ordering::Relaxed);
        }
        this.unused.store(mask(0, pages.len()), Ordering::Release);
        this
    }

    /// The header at this position.
    pub fn page(&self, index: usize) -> &Page<G> {
        &self.pages.as_ref()[index]
    }

    /// All headers of the group.
    pub fn pages(&self) -> &[Page<G>] {
        self.pages.as_ref()
    }

    /// Claims an unused header.
    pub fn claim_unused(&self) -> Option<&Page<G>> {
        let bit = claim_lowest(&self.unused, 1);
        (bit != 0).then(|| self.page(bit.trailing_zeros() as usize))
    }

    /// Holds a listed page of this class, if there is one.
    pub fn hold_listed(&self, class: SizeClass) -> Option<&Page<G>> {
        let mut listed = self.room(class).load(Ordering::Relaxed);
        while listed != 0 {
            let page = self.page(listed.trailing_zeros() as usize);
            // Other classes may share the word, and a late giver may have listed what is another page by now (P3).
            if page.is_of(class) && page.hold_if_listed(class) {
                return Some(page);
            }
            listed &= listed - 1;
        }
        None
    }

    fn room(&self, class: SizeClass) -> &AtomicUsize {
        let words = self.room.as_ref();
        &words[class.index() % words.len()]
    }
}

impl<G: Geometry> Page<G> {
    /// Number of this header inside its arena, given its group's number.
    pub fn id(&self, group_number: usize) -> usize {
        group_number * WORD_BITS + self.index.load(Ordering::Relaxed) as usize
    }

    /// The page's class; `None` for a large block or an unused header.
    pub fn class(&self) -> Option<SizeClass> {
        let class = self.class.load(Ordering::Relaxed) as usize;
        (class < G::CLASS_COUNT).then(|| SizeClass::from_index(class))
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

    /// Describes a fresh page, held by the caller, who claimed the header and owns the slices from `start` on.
    pub fn open(&self, class: SizeClass, start: usize, slice_count: usize) {
        let size = class.block_size();
        let blocks = (slice_count * G::SLICE_SIZE / size).min(G::PAGE_BLOCKS);
        self.start.store(start, Ordering::Relaxed);
        self.reciprocal.store(reciprocal(size), Ordering::Relaxed);
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
        self.block_count.store(blocks as u16, Ordering::Relaxed);
        self.hint.store(0, Ordering::Relaxed);
        store_flag_in_total_order(&self.held, true);
        self.class.store(class.index() as u8, Ordering::Relaxed);
        for (index, word) in self.words().iter().enumerate() {
            let full = self.full(index);
            if full != 0 {
                // Publishes the fields above to whoever claims a bit (P2).
                word.store(full, Ordering::Release);
            }
        }
    }

    /// Claims up to `want` free blocks of a page of this class, all of one word.
    pub fn take(&self, class: SizeClass, want: usize) -> Option<Batch> {
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
            if !self.is_of(class) {
                // P3. The page is somebody else's; it may have gone without room in between.
                self.give_bits(index, bits);
                return None;
            }
            self.hint.store(index as u8, Ordering::Relaxed);
            let size = class.block_size();
            return Some(Batch::new(self.start() + index * WORD_BITS * size, size, bits));
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
    pub fn span(&self, class: SizeClass, word: usize) -> Span {
        let size = class.block_size();
        let start = self.start() + word * WORD_BITS * size;
        let count = (self.block_count() - word * WORD_BITS).min(WORD_BITS);
        Span::new(start, count, size, self.reciprocal.load(Ordering::Relaxed))
    }

    /// Gives blocks that the caller owns back, all of one word of a page of `class`.
    pub fn give(&self, class: SizeClass, word: usize, bits: usize) -> Given {
        let full = self.full(word);
        let old = set_in_total_order(&self.words()[word], bits);
        // From here on the blocks are others' and the page may even be retired; P3 makes what follows harmless.
        if old == 0 && !load_flag_in_total_order(&self.held) {
            self.list(class);
        }
        Given { double: old & bits != 0, empty: old | bits == full && self.is_empty() }
    }

    /// Holds this page if it is listed under `class`.
    pub fn hold_if_listed(&self, class: SizeClass) -> bool {
        if !claim_exactly(self.room(class), self.listed_bit()) {
            return false;
        }
        let right = self.is_of(class);
        if right {
            store_flag_in_total_order(&self.held, true);
        } else {
            // Opened for a class that shares the word since the caller looked: listed again.
            self.let_go();
        }
        right
    }

    /// Ends what [`open`](Self::open), [`hold_if_listed`](Self::hold_if_listed) or [`PageGroup::hold_listed`] began: lists the page if it has room.
    pub fn let_go(&self) {
        store_flag_in_total_order(&self.held, false);
        let has_room = self.words().iter().any(|word| load_in_total_order(word) != 0);
        if let (true, Some(class)) = (has_room, self.class()) {
            self.list(class);
        }
    }

    /// Claims every block of the page, if all of them are free and it is of this class. The caller holds the page; after
    /// success nobody else can reach it, and its slices are the caller's.
    pub fn claim_all(&self, class: SizeClass) -> bool {
        let words = self.words();
        let first = words[0].swap(0, Ordering::Acquire);
        if first == 0 {
            return false;
        }
        // P2: with a block in hand the fields are stable.
        if self.is_of(class) && first == self.full(0) {
            let count = self.word_count();
            let claimed = (1..count).take_while(|index| claim_exactly(&words[*index], self.full(*index))).count();
            if claimed + 1 == count {
                return true;
            }
            for index in 1..=claimed {
                self.give_bits(index, self.full(index));
            }
        }
        self.give_bits(0, first);
        false
    }

    /// Makes the header unused; the caller has claimed every block, or owns the large block.
    pub fn close(&self) {
        store_flag_in_total_order(&self.held, false);
        if let Some(class) = self.class() {
            self.room(class).fetch_and(!self.listed_bit(), Ordering::AcqRel);
        }
        self.class.store(NONE, Ordering::Relaxed);
        // Publishes the fields to whoever claims the header next.
        self.group().unused.fetch_or(self.listed_bit(), Ordering::Release);
    }

    /// Describes a large block; the caller claimed the header and owns the slices.
    pub fn open_large(&self, start: usize, slice_count: usize) {
        self.start.store(start, Ordering::Relaxed);
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
        self.block_count.store(0, Ordering::Relaxed);
        self.class.store(LARGE, Ordering::Release);
    }

    /// Whether the header describes a large block.
    pub fn is_large(&self) -> bool {
        self.class.load(Ordering::Acquire) == LARGE
    }

    /// Claims the large block that starts at `start` for being freed: false if it is none, or was freed before.
    pub fn claim_large(&self, start: usize) -> bool {
        self.start() == start && self.class.compare_exchange(LARGE, NONE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Notes that a large block grew or shrank in place; the caller owns it.
    pub fn set_slice_count(&self, slice_count: usize) {
        self.slice_count.store(slice_count as u32, Ordering::Relaxed);
    }

    /// Whether any context says that it holds the page: a hint.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether the page is listed.
    pub fn is_listed(&self) -> bool {
        self.class().is_some_and(|class| self.room(class).load(Ordering::Relaxed) & self.listed_bit() != 0)
    }

    /// Whether this block is free in the page.
    pub fn is_free(&self, word: usize, bit: usize) -> bool {
        self.words()[word].load(Ordering::Relaxed) >> bit & 1 != 0
    }

    /// Checks P1 and P4 for a page that nobody is working on at the moment.
    pub fn assert_valid(&self) {
        if self.class().is_some() {
            for (index, word) in self.words().iter().enumerate() {
                assert_eq!(word.load(Ordering::Acquire) & !self.full(index), 0, "P1: a bit beyond the last block");
            }
            assert!(self.free_count() == 0 || self.is_held() || self.is_listed(), "P4: free blocks that nobody can find");
        } else {
            assert_eq!(self.free_count(), 0, "P1: free blocks in a header that has none");
        }
    }

    fn give_bits(&self, word: usize, bits: usize) {
        let old = set_in_total_order(&self.words()[word], bits);
        if old == 0
            && !load_flag_in_total_order(&self.held)
            && let Some(class) = self.class()
        {
            self.list(class);
        }
    }

    fn list(&self, class: SizeClass) {
        // Pairs with the claim in `hold_if_listed`. Without a look first: a load may see the bit that another context has claimed since.
        self.room(class).fetch_or(self.listed_bit(), Ordering::AcqRel);
    }

    fn is_empty(&self) -> bool {
        let words = self.words().iter().enumerate();
        words.take(self.word_count()).all(|(index, word)| word.load(Ordering::Relaxed) == self.full(index))
    }

    #[inline]
    fn is_of(&self, class: SizeClass) -> bool {
        self.class.load(Ordering::Relaxed) as usize == class.index()
    }

    fn room(&self, class: SizeClass) -> &AtomicUsize {
        self.group().room(class)
    }

    fn group(&self) -> &PageGroup<G> {
        // SAFETY: set once when the group was made, which stays as long as its headers do.
        unsafe { &*self.group.load(Ordering::Relaxed) }
    }

    fn listed_bit(&self) -> usize {
        1 << self.index.load(Ordering::Relaxed)
    }

    fn word_count(&self) -> usize {
        self.block_count().div_ceil(WORD_BITS)
    }

    /// The mask of the blocks that word `index` stands for.
    #[inline]
    fn full(&self, index: usize) -> usize {
        mask(0, self.block_count().saturating_sub(index * WORD_BITS).min(WORD_BITS))
    }

    fn words(&self) -> &[AtomicUsize] {
        self.words.as_ref()
    }
}

/// What giving blocks back showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// One of the blocks was free already: a double free.
    pub double: bool,
    /// Every block of the page was free for a moment.
    pub empty: bool,
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
