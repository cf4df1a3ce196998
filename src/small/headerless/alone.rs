//! A [`HeaderlessHeap`](super::HeaderlessHeap) while a context is alone in it.
//!
//! *Role*: allocates, frees and resizes: takes free runs from bins, gives back what is too much, joins what is free with its neighbours.

use core::alloc::Layout;
use core::num::NonZeroUsize;

use super::bins::{Bins, longest_for};
use super::chunk::{Chunk, FreeRun, len_of};
use super::ready::{LISTS, Ready};
use super::{GRANULE, LEAST};
use crate::base::misuse::Misuse;
use crate::small::words::{Words, align_up};
use crate::source::page_source::PageSource;

/// What is known without looking at the chunks. All zero when new.
pub struct Headerless {
    newest: Option<Chunk>,
    bins: Bins,
    ready: Ready,
    /// Bytes in free runs.
    free: usize,
    /// Bytes in all chunks' granules.
    capacity: usize,
}

impl Headerless {
    pub const fn new() -> Self {
        Headerless { newest: None, bins: Bins::new(), ready: Ready::new(), free: 0, capacity: 0 }
    }
}

/// How far a look at all cards is, that goes on step by step: chunks and cards stay where they are.
pub struct Cursor {
    chunk: Chunk,
    card: usize,
}

/// The heap.
pub struct Alone<'a, S: PageSource> {
    pub words: Words<'a, S>,
    state: &'a mut Headerless,
}

impl<'a, S: PageSource> Alone<'a, S> {
    #[inline(always)]
    pub fn new(source: &'a S, state: &'a mut Headerless) -> Self {
        Alone { words: Words(source), state }
    }

    /// A block for `size` bytes, if one is ready.
    #[inline(always)]
    pub fn take_ready(&mut self, size: usize) -> Option<NonZeroUsize> {
        self.state.ready.take(self.words, size)
    }

    /// Gives a block back.
    #[inline(always)]
    pub fn free(&mut self, block: usize, size: usize) -> Result<(), Misuse> {
        if self.state.ready.put(self.words, block, size) { Ok(()) } else { self.release(block, len_for(size)) }
    }

    /// Takes the run that fits best, and gives back what is too much; returns a block's address. Of those that are long enough wherever they lie.
    pub fn allocate(&mut self, layout: Layout) -> Option<NonZeroUsize> {
        let (len, align) = (len_for(layout.size()), layout.align());
        let found = self.state.bins.find(self.words, longest_for(len, align))?;
        self.take(found.get(), len, align)
    }

    /// Whether there may be a run with room, although [`allocate`](Self::allocate) found none.
    pub fn may_miss(&self, layout: Layout) -> bool {
        layout.align() > GRANULE || self.state.bins.may_miss(self.words, len_for(layout.size()))
    }

    /// Like [`allocate`](Self::allocate), from the first run with room that begins in the card where `cursor` is; that goes on to the next one.
    pub fn allocate_from(&mut self, cursor: &mut Option<Cursor>, layout: Layout) -> Option<NonZeroUsize> {
        let (len, align) = (len_for(layout.size()), layout.align());
        let Cursor { chunk, card } = self.next_card(cursor)?;
        let needed_at = |start: usize| (start.wrapping_neg() & (align - 1)) + len;
        let run = chunk.runs_in(self.words, card).find(|run| run.len >= needed_at(run.start))?;
        self.take(run.start, len, align)
    }

    /// The length of the longest run that begins in the card where `cursor` is; that goes on to the next one.
    pub fn longest_from(&self, cursor: &mut Option<Cursor>) -> usize {
        let Some(Cursor { chunk, card }) = self.next_card(cursor) else { return 0 };
        chunk.runs_in(self.words, card).map(|run| run.len).max().unwrap_or(0)
    }

    /// The card where `cursor` is, which goes on to the next one: from none to the first, and behind the last to none.
    fn next_card(&self, cursor: &mut Option<Cursor>) -> Option<Cursor> {
        let first = |chunk: Chunk| Cursor { chunk, card: chunk.first_card(self.words) };
        let Cursor { chunk, card } = cursor.take().or_else(|| self.state.newest.map(first))?;
        *cursor = match chunk.card_behind(self.words, card) {
            Some(card) => Some(Cursor { chunk, card }),
            None => chunk.older(self.words).map(first),
        };
        Some(Cursor { chunk, card })
    }

    /// Cuts a block out of the run that begins here, in which it has room.
    fn take(&mut self, start: usize, len: usize, align: usize) -> Option<NonZeroUsize> {
        let chunk = self.find(start)?;
        let run = FreeRun { start, len: len_of(self.words, start) };
        let block = align_up(start, align);
        self.remove(chunk, run);
        self.insert(chunk, start, block);
        self.insert(chunk, block + len, run.end());
        NonZeroUsize::new(block)
    }

    /// Changes a block's size where it lies; false if what follows it is not free.
    #[inline(never)]
    pub fn resize(&mut self, block: usize, old_size: usize, new_size: usize) -> Result<bool, Misuse> {
        let (old, new) = (len_for(old_size), len_for(new_size));
        if new < old {
            return self.release(block + new, old - new).map(|()| true);
        }
        let chunk = self.find(block).ok_or(Misuse::Foreign)?;
        let end = block + old;
        let (_, behind) = chunk.around(self.words, end);
        let has_room = old + behind >= new;
        if has_room {
            self.remove(chunk, FreeRun { start: end, len: behind });
            self.insert(chunk, block + new, end + behind);
        }
        Ok(has_room)
    }

    /// Sends the ready blocks of one list home, of `list` or the next that has any, and moves on to the one behind; false if there is none.
    pub fn flush(&mut self, list: &mut usize) -> bool {
        let mut has_flushed = false;
        while *list < LISTS && !has_flushed {
            while let Some(block) = self.state.ready.take_from(self.words, *list) {
                // It is no misuse: F4.
                has_flushed |= self.release(block.get(), LEAST.max((*list + 1) * GRANULE)).is_ok();
            }
            *list += 1;
        }
        has_flushed
    }

    /// Bytes in all chunks' granules, and in free runs.
    pub fn capacity_and_free(&self) -> (usize, usize) {
        (self.state.capacity, self.state.free)
    }

    /// All chunks.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> + use<'a, S> {
        let words = self.words;
        core::iter::successors(self.state.newest, move |chunk| chunk.older(words))
    }

    /// Panics if F1 to F4 are broken.
    pub fn assert_valid(&self) {
        let (mut free, mut in_bins) = (0, 0);
        for chunk in self.chunks() {
            chunk.assert_valid(self.words);
            free += chunk.runs(self.words).map(|run| run.len).sum::<usize>();
            in_bins += chunk.runs(self.words).filter(|run| run.len >= LEAST).count();
        }
        assert_eq!(free, self.state.free, "F3: free bytes");
        assert_eq!(self.state.bins.assert_valid(self.words), in_bins, "F3: runs that are free, and in bins");
        for (block, len) in self.state.ready.blocks(self.words) {
            let chunk = self.find(block).expect("F4: a ready block is of this heap");
            let is_free = chunk.runs(self.words).any(|run| run.start < block + len && block < run.end());
            let overlaps = |(other, other_len): &(usize, usize)| block < other + other_len && *other < block + len;
            let overlapping = self.state.ready.blocks(self.words).filter(overlaps).count();
            assert!(!is_free && overlapping == 1, "F4: the ready block at {block:#x}");
        }
    }

    /// Frees a block, joined with its neighbours.
    #[inline(never)]
    fn release(&mut self, block: usize, len: usize) -> Result<(), Misuse> {
        let chunk = self.find(block).ok_or(Misuse::Foreign)?;
        let end = block + len;
        let before = chunk.run_before(self.words, block - 1, block);
        let (last, behind) = chunk.around(self.words, end);
        if last >= block || before.end() > block {
            return Err(Misuse::DoubleFree);
        }
        self.remove(chunk, FreeRun { start: end, len: behind });
        let mut start = block;
        if before.end() == block {
            self.remove(chunk, before);
            start = before.start;
        }
        self.insert(chunk, start, end + behind);
        Ok(())
    }

    /// Makes free what is between two addresses, if anything is. Its neighbours are not free.
    fn insert(&mut self, chunk: Chunk, start: usize, end: usize) {
        if start != end {
            self.insert_run(chunk, FreeRun { start, len: end - start });
        }
    }

    #[inline(never)]
    fn insert_run(&mut self, chunk: Chunk, run: FreeRun) {
        chunk.insert(self.words, run);
        if run.len >= LEAST {
            self.state.bins.insert(self.words, run);
        }
        self.set_free(self.state.free + run.len);
    }

    /// Takes a free run, if it is one.
    fn remove(&mut self, chunk: Chunk, run: FreeRun) {
        if run.len > 0 {
            self.remove_run(chunk, run);
        }
    }

    #[inline(never)]
    fn remove_run(&mut self, chunk: Chunk, run: FreeRun) {
        chunk.remove(self.words, run);
        if run.len >= LEAST {
            self.state.bins.remove(self.words, run);
        }
        self.set_free(self.state.free - run.len);
    }

    /// While half of the memory is free, blocks may be ready: that is fast. Then memory is to be dense.
    fn set_free(&mut self, free: usize) {
        self.state.free = free;
        self.state.ready.allow(free >= self.state.capacity / 2);
    }

    /// The chunk that a block is in; none if it is foreign.
    #[inline(never)]
    fn find(&self, block: usize) -> Option<Chunk> {
        let is_granule = block.is_multiple_of(GRANULE);
        self.chunks().find(|chunk| is_granule && chunk.contains(self.words, block))
    }

    /// Whether the program can have a block here.
    pub fn check(&self, block: usize) -> Result<(), Misuse> {
        let is_free = self.find(block).ok_or(Misuse::Foreign)?.is_free(self.words, block);
        let is_nobodys = is_free || self.state.ready.blocks(self.words).any(|(ready, _)| ready == block);
        if is_nobodys { Err(Misuse::DoubleFree) } else { Ok(()) }
    }

    /// Adds a chunk, all of it free.
    pub fn add(&mut self, chunk: Chunk) {
        chunk.set_older(self.words, self.state.newest);
        let (start, end) = (chunk.start(self.words), chunk.end(self.words));
        self.state.newest = Some(chunk);
        self.state.capacity += end - start;
        self.insert(chunk, start, end);
    }
}

/// How many bytes a block for so many has.
#[inline(always)]
pub fn len_for(size: usize) -> usize {
    align_up(size, GRANULE).max(LEAST)
}
