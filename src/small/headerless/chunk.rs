//! A region of a [`HeaderlessHeap`](super::HeaderlessHeap), and where its free runs begin and end.
//!
//! *Role*: nothing is kept for a block that the program has. A free run says in words of its own how long it is; and so that its neighbours find it,
//! there is a card table: one byte for each card, 64 granules (0.2 %), which leads to the card's first mark. A mark is the first word of a free run, or the
//! last word of one that begins in another card. It holds the run's length, and leads to the next mark of its card.
//!
//! *Invariants*
//! - F1: no two free runs touch. Whoever takes a run out of its cards owns its memory.
//! - F2: a free run has a mark where it begins, and one where it ends, if that is in another card. The marks of a card lead from one to the next,
//!   by address, and the last one to none.

use core::num::NonZeroUsize;

use super::GRANULE;
use crate::small::words::{WORD, Words, align_up};
use crate::source::page_source::{PageSource, Region};

/// Bytes of a card.
pub const CARD: usize = 64 * GRANULE;

/// What leads to a mark is its place in the card, in words, and 1; or 0 for none. It is the lowest byte of a mark's word, and the length is above it.
const LINK_BITS: u32 = 8;
const LOWEST_BYTE: usize = if cfg!(target_endian = "big") { WORD - 1 } else { 0 };

/// The longest run, in bytes: so much fits beside a link.
const LONGEST: usize = (usize::MAX >> LINK_BITS) * GRANULE;

/// Words of a chunk's head: the head of the chunk before it, and where the granules start and end. The card table is behind it.
const HEAD: usize = 3;

/// A run of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeRun {
    /// Its address.
    pub start: usize,
    /// In bytes. 0: there is no such run.
    pub len: usize,
}

impl FreeRun {
    const NONE: FreeRun = FreeRun { start: 0, len: 0 };

    /// Where it ends.
    pub fn end(self) -> usize {
        self.start + self.len
    }

    /// Where the mark at its end is, if it has one.
    fn end_mark(self) -> Option<usize> {
        let last = self.end() - WORD;
        (card_of(last) != card_of(self.start)).then_some(last)
    }
}

/// A chunk, by the address of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(pub NonZeroUsize);

impl Chunk {
    /// How many bytes a region has at least in which a run of `len` bytes is.
    pub fn least_region_for(len: usize) -> usize {
        let with_head = len + HEAD * WORD + 3;
        with_head + with_head / CARD
    }

    /// How many bytes a region must have, so that wherever it lies a run of `len` bytes is in it; `None` for longer runs than there are.
    pub fn region_for(len: usize) -> Option<usize> {
        let cards = len / CARD;
        // The table's bytes have cards, too.
        (len <= LONGEST).then(|| len + cards + cards / 256 + 4 + (HEAD + 1) * WORD + 3 * GRANULE)
    }

    /// Lays head and table into a region, in which nothing is free yet; `None` if it is too small.
    pub fn create<S: PageSource>(words: Words<'_, S>, region: Region) -> Option<Self> {
        let address = region.start.expose_provenance().get();
        let head = align_up(address, WORD);
        // Addresses behind a chunk are compared with others, so it does not reach the end of the address space.
        let size = region.size - usize::from(address.wrapping_add(region.size) == 0);
        let table = head + HEAD * WORD;
        let cards = size / CARD + 3;
        let start = align_up(table + cards, GRANULE);
        let len = (size.checked_sub(start - address)? & !(GRANULE - 1)).min(LONGEST);
        if len == 0 {
            return None;
        }
        words.write(head, 1, start);
        words.write(head, 2, start + len);
        if !S::FRESH_IS_ZERO {
            (table..table + cards).for_each(|byte| words.write_byte(byte, 0));
        }
        NonZeroUsize::new(head).map(Chunk)
    }

    /// Puts it behind another one.
    pub fn set_older<S: PageSource>(self, words: Words<'_, S>, older: Option<Chunk>) {
        words.write(self.0.get(), 0, older.map_or(0, |older| older.0.get()));
    }

    /// The chunk before it.
    pub fn older<S: PageSource>(self, words: Words<'_, S>) -> Option<Self> {
        NonZeroUsize::new(words.read(self.0.get(), 0)).map(Chunk)
    }

    /// Where its granules start.
    pub fn start<S: PageSource>(self, words: Words<'_, S>) -> usize {
        words.read(self.0.get(), 1)
    }

    /// Where they end.
    pub fn end<S: PageSource>(self, words: Words<'_, S>) -> usize {
        words.read(self.0.get(), 2)
    }

    /// Whether an address is that of a granule or inside one.
    pub fn contains<S: PageSource>(self, words: Words<'_, S>, address: usize) -> bool {
        self.start(words) <= address && address < self.end(words)
    }

    /// Makes a run free that has no free neighbours (F1).
    pub fn insert<S: PageSource>(self, words: Words<'_, S>, run: FreeRun) {
        let (from, next) = self.seek(words, run.start, run.start);
        words.write(run.start, 0, mark(run.len, next));
        words.write_byte(from, link_to(run.start));
        if let Some(last) = run.end_mark() {
            let byte = self.byte_of(words, last);
            words.write(last, 0, mark(run.len, words.read_byte(byte)));
            words.write_byte(byte, link_to(last));
        }
    }

    /// Takes a free run.
    pub fn remove<S: PageSource>(self, words: Words<'_, S>, run: FreeRun) {
        let (from, _) = self.seek(words, run.start, run.start);
        words.write_byte(from, words.read_byte(run.start + LOWEST_BYTE));
        if let Some(last) = run.end_mark() {
            words.write_byte(self.byte_of(words, last), words.read_byte(last + LOWEST_BYTE));
        }
    }

    /// The address of the last mark before `end`, in its card (or one before all granules), and the length of the free run that begins there, or 0.
    pub fn around<S: PageSource>(self, words: Words<'_, S>, end: usize) -> (usize, usize) {
        // The table lies before the granules.
        let (from, link) = self.seek(words, end, end);
        (from, if link == link_to(end) { len_of(words, end) } else { 0 })
    }

    /// Where the link is, in the card of an address, that leads behind all marks before `limit`; and that link.
    #[inline(never)]
    fn seek<S: PageSource>(self, words: Words<'_, S>, address: usize, limit: usize) -> (usize, u8) {
        let mut from = self.byte_of(words, address);
        loop {
            let link = words.read_byte(from);
            let mark = mark_of(address, link);
            if link == 0 || mark >= limit {
                return (from, link);
            }
            from = mark + LOWEST_BYTE;
        }
    }

    /// The last free run that has a mark in the card of `address` before `limit`.
    pub fn run_before<S: PageSource>(self, words: Words<'_, S>, address: usize, limit: usize) -> FreeRun {
        let (from, _) = self.seek(words, address, limit);
        // The table lies before the granules.
        if from < self.start(words) { FreeRun::NONE } else { run_of(words, from - LOWEST_BYTE) }
    }

    /// Whether a free run has this address.
    pub fn is_free<S: PageSource>(self, words: Words<'_, S>, address: usize) -> bool {
        self.runs(words).any(|run| run.start <= address && address < run.end())
    }

    /// All free runs, by address.
    pub fn runs<S: PageSource>(self, words: Words<'_, S>) -> impl Iterator<Item = FreeRun> {
        self.cards(words).flat_map(move |card| self.runs_in(words, card))
    }

    /// The free runs that begin in a card.
    pub fn runs_in<S: PageSource>(self, words: Words<'_, S>, card: usize) -> impl Iterator<Item = FreeRun> {
        self.marks(words, card).map(move |mark| run_of(words, mark)).filter(move |run| run.start >= card)
    }

    /// Panics if F1 or F2 is broken.
    pub fn assert_valid<S: PageSource>(self, words: Words<'_, S>) {
        let (mut behind, mut marks) = (0, 0);
        for run in self.runs(words) {
            let (start, end) = (run.start, run.end());
            assert!(behind < start && end <= self.end(words) && run.len.is_multiple_of(GRANULE), "F1: {run:x?}");
            assert_eq!(self.run_before(words, end - 1, end), run, "F2: the end of the run");
            marks += 1 + usize::from(run.end_mark().is_some());
            behind = end;
        }
        assert_eq!(marks, self.cards(words).flat_map(|card| self.marks(words, card)).count(), "F2: marks of no run");
    }

    fn cards<S: PageSource>(self, words: Words<'_, S>) -> impl Iterator<Item = usize> {
        (self.first_card(words)..self.end(words)).step_by(CARD)
    }

    /// Where its first card begins.
    pub fn first_card<S: PageSource>(self, words: Words<'_, S>) -> usize {
        card_of(self.start(words))
    }

    /// Where the card behind this one begins, if there is one.
    pub fn card_behind<S: PageSource>(self, words: Words<'_, S>, card: usize) -> Option<usize> {
        card.checked_add(CARD).filter(|next| *next < self.end(words))
    }

    /// The marks of a card.
    fn marks<S: PageSource>(self, words: Words<'_, S>, card: usize) -> impl Iterator<Item = usize> {
        let next = move |from| match words.read_byte(from) {
            0 => None,
            link => Some(mark_of(card, link)),
        };
        core::iter::successors(next(self.byte_of(words, card)), move |mark| next(*mark + LOWEST_BYTE))
    }

    /// Where the byte is of the card of an address; there is one for the card before the first granule, too, and one behind the last.
    fn byte_of<S: PageSource>(self, words: Words<'_, S>, address: usize) -> usize {
        self.0.get() + HEAD * WORD + (1 + address / CARD - self.start(words) / CARD)
    }
}

/// The run that a mark is of.
pub fn run_of<S: PageSource>(words: Words<'_, S>, mark: usize) -> FreeRun {
    let len = len_of(words, mark);
    // Runs begin and end at granules.
    FreeRun { start: if mark.is_multiple_of(GRANULE) { mark } else { mark + WORD - len }, len }
}

/// The length of a free run that has a mark here.
#[inline]
pub fn len_of<S: PageSource>(words: Words<'_, S>, mark: usize) -> usize {
    (words.read(mark, 0) >> LINK_BITS) * GRANULE
}

/// The word of a mark.
fn mark(len: usize, next: u8) -> usize {
    ((len / GRANULE) << LINK_BITS) | usize::from(next)
}

/// Where the card begins that an address is in.
fn card_of(address: usize) -> usize {
    address & !(CARD - 1)
}

/// What leads to a mark.
fn link_to(mark: usize) -> u8 {
    (mark % CARD / WORD) as u8 + 1
}

/// Where a link leads, in the card of an address; before the card if it leads to no mark.
fn mark_of(address: usize, link: u8) -> usize {
    (card_of(address) + usize::from(link) * WORD).wrapping_sub(WORD)
}
