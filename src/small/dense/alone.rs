//! A [`DenseHeap`](super::DenseHeap) while a context is alone in it.
//!
//! *Role*: allocates, frees and resizes: takes blocks from bins, cuts off what is too much, joins what is free with its neighbours, and keeps
//! small blocks ready.
//!
//! *Invariants*, beside those of tags (D1, D2) and bins (D3)
//! - D4: a block that is ready is marked so, and in the list of its class, once, and nothing else is. To its neighbours it is not free.
//! - D5: a block that the program has is longer than its layout and a tag, by less than three granules; where blocks are kept ready, by less than a
//!   quarter and that.

use core::alloc::Layout;
use core::num::NonZeroUsize;

use super::bins::Bins;
use super::tag::{GRANULE, LEAST, Tag, block_of, front_for, payload_of};
use crate::base::misuse::Misuse;
use crate::small::words::{NEXT, WORD, Words, align_up};
use crate::source::page_source::{PageSource, Region};

mod taken_out;

#[cfg(all(test, not(loom)))]
pub use taken_out::TakenOut;

/// So many blocks of each bin are looked at that may be too small, before one is taken that is bigger for sure.
const CANDIDATES: usize = 4;

/// What is known without looking at the blocks. All zero when new.
pub struct Dense<const READY: usize> {
    newest: DenseRegion,
    bins: Bins,
    /// The first ready block of each class, or 0. Links lie in the blocks.
    ready: [usize; READY],
}

impl<const READY: usize> Dense<READY> {
    pub const fn new() -> Self {
        Dense { newest: DenseRegion { head: 0, end: 0 }, bins: Bins::new(), ready: [0; READY] }
    }
}

/// A region. Its first words, the head, are the ends of an older one.
#[derive(Clone, Copy)]
pub struct DenseRegion {
    /// 0 if there is none.
    head: usize,
    /// Where the last block ends: the tag that is nobody's.
    end: usize,
}

impl DenseRegion {
    /// Words in a head, with the first block's tag.
    const HEAD: usize = 3;
    /// So many bytes of a region are no room for a block, at least: the head, and the tag at its end.
    pub const LEAST_LOST: usize = Self::HEAD * WORD;
    /// And so many at most: both ends may be cut to granules.
    pub const MOST_LOST: usize = Self::LEAST_LOST + 2 * GRANULE;
    /// The shortest region has room for a block, wherever it lies.
    pub const SHORTEST: usize = Self::MOST_LOST + LEAST;

    /// Where the first block is.
    fn first_block(self) -> usize {
        align_up(self.head + Self::HEAD * WORD, GRANULE) - WORD
    }

    /// It, if there is one.
    fn if_any(self) -> Option<DenseRegion> {
        (self.head != 0).then_some(self)
    }

    /// Whether the address lies in the region.
    pub fn contains(self, address: usize) -> bool {
        (self.head..self.end).contains(&address)
    }
}

/// What came of resizing a block in place.
pub enum Resized {
    /// It has its new size.
    InPlace,
    /// It has its old one: there is no room.
    NoRoom,
    /// The same, but it would have room if the memory went on behind it for so many bytes.
    AtEnd(usize),
}

/// The heap.
pub struct Alone<'a, S: PageSource, const READY: usize> {
    words: Words<'a, S>,
    state: &'a mut Dense<READY>,
}

impl<'a, S: PageSource, const READY: usize> Alone<'a, S, READY> {
    #[inline(always)]
    pub fn new(source: &'a S, state: &'a mut Dense<READY>) -> Self {
        Alone { words: Words(source), state }
    }

    /// A block that is ready, if one is; returns the address of its payload.
    #[inline(always)]
    pub fn allocate_ready(&mut self, layout: Layout) -> Option<NonZeroUsize> {
        let size = size_for(layout.size());
        let class = class_of(size);
        self.take_ready(class, size, layout.align()).or_else(|| self.take_ready(class + 1, size, layout.align()))
    }

    #[inline(always)]
    fn take_ready(&mut self, class: usize, size: usize, align: usize) -> Option<NonZeroUsize> {
        let first = self.state.ready.get_mut(class)?;
        let block = *first;
        if block == 0 {
            return None;
        }
        let tag = self.words.tag(block);
        if tag.size() < size || payload_of(block) & (align - 1) != 0 {
            return None;
        }
        *first = self.words.read(block, NEXT);
        self.words.set_tag(block, tag.0 & !Tag::READY);
        NonZeroUsize::new(payload_of(block))
    }

    /// Gives a block back, of this layout, if that is known.
    #[inline(always)]
    pub fn free(&mut self, block: usize, layout: Option<Layout>) -> Result<(), Misuse> {
        let size = self.check(block, layout)?;
        if READY > 0
            && let Some(first) = self.state.ready.get_mut(class_of(size))
        {
            self.words.write(block, NEXT, *first);
            *first = block;
            self.words.set_tag(block, self.words.tag(block).0 | Tag::READY);
        } else {
            self.release(block, size);
        }
        Ok(())
    }

    /// Changes a block's size in place, if there is room.
    pub fn resize(&mut self, block: usize, layout: Layout, new_layout: Layout) -> Result<Resized, Misuse> {
        let old = self.check(block, Some(layout))?;
        let new = size_for(new_layout.size());
        // Where blocks are kept ready, those of a class differ by as much anyway.
        if READY > 0 && old.wrapping_sub(new) < LEAST {
            return Ok(Resized::InPlace);
        }
        let next = block + old;
        let behind = self.free_at(next);
        if old + behind < new {
            let is_last = S::JOINS && next + behind == self.state.newest.end;
            let fits_elsewhere = || self.state.bins.find(self.words, new, usize::MAX, new, 1).is_some();
            return Ok(if is_last && !fits_elsewhere() { Resized::AtEnd(new - old - behind) } else { Resized::NoRoom });
        }
        if behind > 0 {
            self.state.bins.remove(self.words, next, behind);
        }
        self.cut(block, old + behind, new, self.words.tag(block).0 & Tag::AFTER_FREE);
        Ok(Resized::InPlace)
    }

    /// How many bytes a block has room for.
    pub fn usable_size(&self, block: usize) -> usize {
        self.words.tag(block).size() - WORD
    }

    /// Sends everything that is ready to the bins; false if nothing was.
    pub fn flush(&mut self) -> bool {
        let mut has_flushed = false;
        for class in 0..READY {
            while self.state.ready[class] != 0 {
                let block = self.state.ready[class];
                self.state.ready[class] = self.words.read(block, NEXT);
                self.release(block, self.words.tag(block).size());
                has_flushed = true;
            }
        }
        has_flushed
    }

    /// All regions.
    pub fn regions(&self) -> impl Iterator<Item = DenseRegion> {
        core::iter::successors(self.state.newest.if_any(), move |region| self.older(*region))
    }

    /// The region before it.
    fn older(&self, region: DenseRegion) -> Option<DenseRegion> {
        DenseRegion { head: self.words.read(region.head, 0), end: self.words.read(region.head, 1) }.if_any()
    }

    /// All blocks of a region.
    pub fn blocks(&self, region: DenseRegion) -> impl Iterator<Item = (usize, Tag)> + use<'a, S, READY> {
        self.blocks_from(region.first_block())
    }

    fn blocks_from(&self, block: usize) -> impl Iterator<Item = (usize, Tag)> + use<'a, S, READY> {
        let words = self.words;
        let some = move |block: usize| Some((block, words.tag(block))).filter(|(_, tag)| tag.size() != 0);
        core::iter::successors(some(block), move |(block, tag)| some(block + tag.size()))
    }

    /// Where the memory ends that came last: it tells whether some has come.
    pub fn end(&self) -> usize {
        self.state.newest.end
    }

    /// By so many bytes the heap is to grow at least: a quarter of what there is, so that regions are few.
    pub fn growth(&self) -> usize {
        // Where regions join, most of the memory is in the newest, and that is enough.
        let counted = if S::JOINS { 1 } else { usize::MAX };
        self.regions().take(counted).map(|region| region.end - region.head).sum::<usize>() / 4
    }

    /// Panics if D1 to D4 are broken.
    pub fn assert_valid(&self) {
        let (mut free, mut ready) = (0, 0);
        for region in self.regions() {
            let (mut end, mut is_after_free) = (region.first_block(), false);
            for (block, tag) in self.blocks(region) {
                assert!(
                    payload_of(block).is_multiple_of(GRANULE) && tag.size().is_multiple_of(GRANULE) && tag.size() >= LEAST,
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
            assert_eq!(end, region.end, "D1: the end of the region at {:#x}", region.head);
            assert_eq!(self.words.tag(end).is(Tag::AFTER_FREE), is_after_free, "D2: the end of the region at {:#x}", region.head);
        }
        assert_eq!(self.state.bins.assert_valid(self.words), free, "D3: blocks that are free, and in bins");
        for class in 0..READY {
            let mut block = self.state.ready[class];
            while block != 0 {
                let tag = self.words.tag(block);
                assert!(tag.is(Tag::READY) && !tag.is(Tag::FREE) && class_of(tag.size()) == class, "D4: {block:#x}");
                ready -= 1;
                block = self.words.read(block, NEXT);
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
        // Not rounded: that takes code, and shows little more.
        let least = layout.map_or(tag.size(), |layout| layout.size() + WORD);
        let allowed = 3 * GRANULE + if READY > 0 { least / 4 } else { 0 };
        if tag.size().wrapping_sub(least) < allowed { Ok(tag.size()) } else { Err(Misuse::WrongLayout) }
    }

    /// Whether a block may start here.
    fn is_block(&self, address: usize) -> bool {
        let is_behind_head = |region: DenseRegion| region.contains(address) && address >= region.first_block();
        payload_of(address).is_multiple_of(GRANULE) && self.regions().any(is_behind_head)
    }

    /// Takes a block from a bin: from one whose blocks are long enough wherever they lie, or else from any. Sends what is ready there before it gives up.
    #[inline(always)]
    pub fn search(&mut self, size: usize, align: usize) -> Option<NonZeroUsize> {
        let (mut least, mut candidates) = (longest_for(size, align), CANDIDATES);
        let found = loop {
            match self.state.bins.find(self.words, least, candidates, size, align) {
                Some(found) => break found.get(),
                None if candidates == CANDIDATES => (least, candidates) = (size, usize::MAX),
                None if self.flush() => (),
                None => return None,
            }
        };
        let found_size = self.words.tag(found).size();
        self.state.bins.remove(self.words, found, found_size);
        let front = front_for(found, align);
        let block = found + front;
        self.cut(block, found_size - front, size, 0);
        if front > 0 {
            self.put(found, front);
        }
        NonZeroUsize::new(payload_of(block))
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
        let (tag, behind) = (self.words.tag(block), self.words.tag(block + size));
        if behind.is(Tag::FREE) {
            self.state.bins.remove(self.words, block + size, behind.size());
            size += behind.size();
        }
        if tag.is(Tag::AFTER_FREE) {
            let before = self.words.size_before(block);
            block -= before;
            size += before;
            self.state.bins.remove(self.words, block, before);
        }
        self.put(block, size);
    }

    /// Adds a region.
    #[inline(always)]
    pub fn add(&mut self, region: Region) {
        let start = region.start.expose_provenance().get();
        // Behind a region that ends where the address space does is address 0.
        let end = block_of(start.wrapping_add(region.size) & !(GRANULE - 1));
        let older = self.state.newest;
        self.state.newest.end = end;
        let mut block = older.end;
        if !S::JOINS || start != payload_of(block) {
            let head = align_up(start, WORD);
            self.words.write(head, 0, older.head);
            self.words.write(head, 1, older.end);
            self.state.newest.head = head;
            block = self.state.newest.first_block();
            self.words.set_tag(block, 0);
        }
        self.words.set_tag(end, 0);
        self.release(block, end - block);
    }
}

/// A free block of so many bytes has room for one of `size` at `align` wherever it lies. Sums of a layout do not overflow.
#[inline(always)]
pub fn longest_for(size: usize, align: usize) -> usize {
    if align <= GRANULE { size } else { size + align + GRANULE }
}

/// The size of the block for a request of so many bytes.
#[inline(always)]
pub fn size_for(bytes: usize) -> usize {
    align_up(bytes + WORD, GRANULE).max(LEAST)
}

/// Which ready blocks are about this size: each of the smallest 16 sizes has a class, and there are eight to each doubling.
#[inline(always)]
fn class_of(size: usize) -> usize {
    let granules = size / GRANULE;
    let shift = (granules | 8).ilog2() as usize - 3;
    8 * shift + (granules >> shift)
}

#[cfg(all(test, not(loom)))]
mod tests;
