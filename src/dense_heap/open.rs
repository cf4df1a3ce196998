//! A [`DenseHeap`](super::DenseHeap) while a context is alone in it.
//!
//! *Role*: allocates, frees and resizes: takes blocks from bins, cuts off what is too much, joins what is free with its neighbours, and keeps
//! small blocks ready.
//!
//! *Invariants*, beside those of tags (D1, D2) and bins (D3)
//! - D4: a block that is ready is marked so, and in the list of its class, once, and nothing else is. To its neighbours it is not free.
//! - D5: a block that the program has is less than [`LEAST`] longer than its layout needs, or, where blocks are kept ready, than a quarter and that.

use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ops::Range;

use super::bins::Bins;
use super::tag::{GRANULE, LEAST, Tag, WORD, Words, align_up};
use crate::events::event;
use crate::misuse::Misuse;
use crate::page_source::{PageSource, RegionRequest};

/// What is known without looking at the blocks.
pub struct State<const READY: usize> {
    /// Address of the newest region's head.
    newest: usize,
    bins: Bins,
    /// The first ready block of each class, or 0. Links lie in the blocks.
    ready: [usize; READY],
}

impl<const READY: usize> State<READY> {
    pub const fn new() -> Self {
        State { newest: 0, bins: Bins::new(), ready: [0; READY] }
    }
}

/// The first words of a region: its head.
mod head {
    use super::WORD;

    /// Address of the older region's head, or 0.
    pub const OLDER: usize = 0;
    /// Where the last block ends.
    pub const END: usize = WORD;
    /// With the first block's tag.
    pub const LEN: usize = 3 * WORD;
}

/// What came of resizing a block in place.
pub enum Resized {
    InPlace,
    /// It is as it was.
    NoRoom,
    /// It is no block.
    Not(Misuse),
}

/// The heap.
pub struct Open<'a, S: PageSource, const READY: usize> {
    words: Words<'a, S>,
    state: &'a mut State<READY>,
}

impl<'a, S: PageSource, const READY: usize> Open<'a, S, READY> {
    #[inline(always)]
    pub fn new(source: &'a S, state: &'a mut State<READY>) -> Self {
        Open { words: Words(source), state }
    }

    /// Allocates; returns the block's address.
    #[inline(always)]
    pub fn allocate(&mut self, layout: Layout) -> Option<NonZeroUsize> {
        let size = size_for(layout.size());
        if READY > 0 && layout.align() <= GRANULE {
            let class = class_of(size);
            if let Some(block) = self.take_ready(class, size).or_else(|| self.take_ready(class + 1, size)) {
                return Some(block);
            }
        }
        self.search(size, layout.align())
    }

    #[inline(always)]
    fn take_ready(&mut self, class: usize, size: usize) -> Option<NonZeroUsize> {
        let first = self.state.ready.get_mut(class)?;
        let block = NonZeroUsize::new(*first)?;
        let tag = self.words.tag(block.get());
        if tag.size() < size {
            return None;
        }
        *first = self.words.read(block.get());
        self.words.set_tag(block.get(), tag.0 & !Tag::READY);
        Some(block)
    }

    /// Gives a block back, of this layout, if that is known.
    #[inline(always)]
    pub fn free(&mut self, block: usize, layout: Option<Layout>) -> Result<(), Misuse> {
        let size = self.check(block, layout)?;
        if READY > 0
            && let Some(first) = self.state.ready.get_mut(class_of(size))
        {
            self.words.write(block, *first);
            *first = block;
            self.words.set_tag(block, self.words.tag(block).0 | Tag::READY);
        } else {
            self.release(block, size);
        }
        Ok(())
    }

    /// Changes a block's size in place.
    pub fn resize(&mut self, block: usize, layout: Layout, new_layout: Layout) -> Resized {
        let old = match self.check(block, Some(layout)) {
            Ok(size) => size,
            Err(misuse) => return Resized::Not(misuse),
        };
        let new = size_for(new_layout.size());
        let marks = self.words.tag(block).0 & Tag::AFTER_FREE;
        if new > old {
            let next = block + old;
            let mut room = old + self.free_at(next);
            let is_last = S::JOINS && self.words.tag(block + room).size() == 0;
            if room < new && is_last && self.state.bins.find(self.words, new).is_none() {
                self.add_memory(new - room);
                room = old + self.free_at(next);
            }
            if room < new {
                return Resized::NoRoom;
            }
            self.state.bins.remove(self.words, next, room - old);
            self.cut(block, room, new, marks);
        } else if old - new >= LEAST {
            self.words.set_tag(block, new | marks);
            self.words.set_tag(block + new, old - new);
            self.release(block + new, old - new);
        }
        Resized::InPlace
    }

    /// How many bytes a block has room for.
    pub fn usable_size(&self, block: usize) -> usize {
        self.words.tag(block).size() - WORD
    }

    /// Sends everything that is ready to the bins.
    pub fn flush(&mut self) {
        for class in 0..READY {
            while self.state.ready[class] != 0 {
                let block = self.state.ready[class];
                self.state.ready[class] = self.words.read(block);
                self.release(block, self.words.tag(block).size());
            }
        }
    }

    /// All regions.
    pub fn regions(&self) -> impl Iterator<Item = usize> {
        let words = self.words;
        let some = |head: usize| (head != 0).then_some(head);
        core::iter::successors(some(self.state.newest), move |head| some(words.read(head + head::OLDER)))
    }

    /// The addresses of a region.
    pub fn span(&self, region: usize) -> Range<usize> {
        region..self.words.read(region + head::END)
    }

    /// All blocks of a region.
    pub fn blocks(&self, region: usize) -> impl Iterator<Item = (usize, Tag)> {
        let words = self.words;
        let some = move |block: usize| Some((block, words.tag(block))).filter(|(_, tag)| tag.size() != 0);
        core::iter::successors(some(first_block(region)), move |(block, tag)| some(block + tag.size()))
    }

    /// Panics if D1 to D4 are broken.
    pub fn assert_valid(&self) {
        let (mut free, mut ready) = (0, 0);
        for region in self.regions() {
            let (mut end, mut is_after_free) = (first_block(region), false);
            for (block, tag) in self.blocks(region) {
                assert!(
                    block.is_multiple_of(GRANULE) && tag.size().is_multiple_of(GRANULE) && tag.size() >= LEAST,
                    "D1: {block:#x}"
                );
                assert_eq!(tag.is(Tag::AFTER_FREE), is_after_free, "D2: what is before {block:#x}");
                end = block + tag.size();
                if tag.is(Tag::FREE) {
                    assert!(!is_after_free, "D2: free neighbours at {block:#x}");
                    assert_eq!(self.words.size_before(end), tag.size(), "D2: the size at the end of {block:#x}");
                    free += 1;
                }
                ready += usize::from(tag.is(Tag::READY));
                is_after_free = tag.is(Tag::FREE);
            }
            assert_eq!(end, self.span(region).end, "D1: the end of the region at {region:#x}");
            assert_eq!(self.words.tag(end).is(Tag::AFTER_FREE), is_after_free, "D2: the end of the region at {region:#x}");
        }
        assert_eq!(self.state.bins.assert_valid(self.words), free, "D3: blocks that are free, and in bins");
        for class in 0..READY {
            let mut block = self.state.ready[class];
            while block != 0 {
                let tag = self.words.tag(block);
                assert!(tag.is(Tag::READY) && !tag.is(Tag::FREE) && class_of(tag.size()) == class, "D4: {block:#x}");
                ready -= 1;
                block = self.words.read(block);
            }
        }
        assert_eq!(ready, 0, "D4: blocks that are marked as ready, and in lists");
    }

    /// The size of a block that the program has, if it fits the layout (D5).
    #[inline(always)]
    fn check(&self, block: usize, layout: Option<Layout>) -> Result<usize, Misuse> {
        if cfg!(debug_assertions) && !self.is_block(block) {
            return Err(Misuse::Foreign);
        }
        let tag = self.words.tag(block);
        if tag.is(Tag::FREE | Tag::READY) {
            return Err(Misuse::DoubleFree);
        }
        let least = layout.map_or(tag.size(), |layout| size_for(layout.size()));
        let allowed = LEAST + if READY > 0 { least / 4 } else { 0 };
        if tag.size().wrapping_sub(least) < allowed { Ok(tag.size()) } else { Err(Misuse::WrongLayout) }
    }

    /// Whether a block may start here.
    fn is_block(&self, address: usize) -> bool {
        let has_blocks_at = |region| (first_block(region)..self.span(region).end).contains(&address);
        address.is_multiple_of(GRANULE) && self.regions().any(has_blocks_at)
    }

    /// Takes a block from a bin, and sees to it that there is one.
    #[inline(never)]
    fn search(&mut self, size: usize, align: usize) -> Option<NonZeroUsize> {
        // In front of an aligned block there is none, or one that is long enough.
        let total = if align <= GRANULE { size } else { size.saturating_add(align + GRANULE) };
        let found = self.state.bins.find(self.words, total).or_else(|| self.find_otherwise(total))?;
        let found_size = self.words.tag(found.get()).size();
        self.state.bins.remove(self.words, found.get(), found_size);
        if align <= GRANULE {
            self.cut(found.get(), found_size, size, 0);
            return Some(found);
        }
        let mut front = found.get().wrapping_neg() & (align - 1);
        if front == GRANULE {
            front += align;
        }
        self.cut(found.get() + front, found_size - front, size, 0);
        if front > 0 {
            self.put(found.get(), front);
        }
        found.checked_add(front)
    }

    /// Finds a block after what is ready has gone to the bins, or the memory has grown.
    #[cold]
    fn find_otherwise(&mut self, size: usize) -> Option<NonZeroUsize> {
        event!("short of memory: {=usize} bytes", size);
        self.flush();
        loop {
            let found = self.state.bins.find(self.words, size);
            if found.is_some() || !self.add_memory(size) {
                return found;
            }
        }
    }

    /// Makes of `total` bytes a used block of `size`, and of the rest a free one, if that is long enough.
    fn cut(&mut self, block: usize, total: usize, size: usize, marks: usize) {
        let rest = total - size;
        if rest < LEAST {
            return self.words.set_used(block, total, marks);
        }
        self.words.set_tag(block, size | marks);
        self.put(block + size, rest);
    }

    /// Marks a block as free, and puts it into its bin.
    fn put(&mut self, block: usize, size: usize) {
        self.words.set_free(block, size);
        self.state.bins.insert(self.words, block, size);
    }

    /// The size of the free block here, 0 if this one is not free.
    fn free_at(&self, block: usize) -> usize {
        let tag = self.words.tag(block);
        if tag.is(Tag::FREE) { tag.size() } else { 0 }
    }

    /// Frees a block, joined with its neighbours.
    #[inline(never)]
    fn release(&mut self, mut block: usize, mut size: usize) {
        let tag = self.words.tag(block);
        let behind = self.free_at(block + size);
        if behind > 0 {
            self.state.bins.remove(self.words, block + size, behind);
            size += behind;
        }
        if tag.is(Tag::AFTER_FREE) {
            let before = self.words.size_before(block);
            block -= before;
            size += before;
            self.state.bins.remove(self.words, block, before);
        }
        self.put(block, size);
    }

    /// Gets memory for a block of `size` bytes; false if the source refuses.
    #[cold]
    fn add_memory(&mut self, size: usize) -> bool {
        // Both ends may be cut to granules.
        let min_size = size.saturating_add(head::LEN + 2 * GRANULE);
        if min_size > isize::MAX as usize {
            return false;
        }
        let request = RegionRequest { min_size, preferred_size: min_size, preferred_align: GRANULE };
        let Some(region) = self.words.0.reserve(request) else { return false };
        event!("{=usize} bytes from the page source", region.size);
        let start = region.start.expose_provenance().get();
        // The region may end where the address space does.
        let end = start.saturating_add(region.size) & !(GRANULE - 1);
        let newest = self.state.newest;
        let (head, block) = if S::JOINS && newest != 0 && start == self.span(newest).end {
            (newest, start)
        } else {
            let head = align_up(start, WORD);
            self.words.write(head + head::OLDER, newest);
            self.words.set_tag(first_block(head), 0);
            self.state.newest = head;
            (head, first_block(head))
        };
        self.words.write(head + head::END, end);
        self.words.set_tag(end, 0);
        self.release(block, end - block);
        true
    }
}

/// The size of the block for a request of so many bytes.
#[inline(always)]
fn size_for(bytes: usize) -> usize {
    align_up(bytes + WORD, GRANULE).max(LEAST)
}

/// Which ready blocks are about this size: each of the smallest 16 sizes has a class, and there are eight to each doubling.
#[inline(always)]
fn class_of(size: usize) -> usize {
    let granules = size / GRANULE;
    let shift = (granules | 8).ilog2() as usize - 3;
    8 * shift + (granules >> shift)
}

/// Where the first block of a region is.
fn first_block(head: usize) -> usize {
    align_up(head + head::LEN, GRANULE)
}
