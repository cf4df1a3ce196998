//! Refill and flush: what happens when a magazine is empty or full.
//!
//! *Role*: the slow path of [`Heap`]. Refill takes a batch of blocks from one word of a page; flush gives a batch back, one atomic operation
//! for each word. Both fill and empty the magazine by the same pop and push as everybody.
//!
//! *Bounds*: a refill looks at the current page, at a bounded number of page groups in each arena, and then takes a fresh page. Only
//! when memory runs out it looks everywhere.

use core::ptr::NonNull;

use crate::base::batch::Batch;
use crate::base::block::{Block, Blocks};
use crate::base::events::event;
use crate::base::misuse::{Misuse, no_unwind_in_release};
use crate::base::size_class::SizeClass;
use crate::cores::core_heap::CoreHeap;
use crate::cores::core_local::CoreLocal;
use crate::cores::in_hand::Hand;
use crate::heap::Heap;
use crate::pages::arena::Arena;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;
use crate::pages::slices::run_for;
use crate::source::page_source::{ALIGNED_BY_CHANCE, PageSource};

/// Most bytes that a flush gives back at a time, the block that did not fit among them; or that one alone. Few big blocks share a word or a page,
/// so many of them at once would take long.
const FLUSH_BYTES: usize = 8 << 10;

/// Core heaps take at most one of so many bytes.
const CORE_HEAPS_SHARE: usize = 8;

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    const CORE_HEAP_SLICES: usize = run_for::<S, G>(size_of::<CoreHeap<G>>());

    /// Serves one block from the page bitmaps; more of the same word go into the magazine, which is half full then at most.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&self, class: SizeClass) -> Option<NonNull<u8>> {
        no_unwind_in_release(|| self.take_and_refill(class))
    }

    fn take_and_refill(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let core_heap = self.core_heap(true);
        let want = match core_heap {
            Some(core_heap) if G::HAS_MAGAZINES => self.open_magazine(core_heap, class).div_ceil(2).min(Blocks::CAPACITY),
            _ => 1,
        };
        let (mut batch, mut hand) = self.take(core_heap, class, want)?;
        let block = batch.lowest()?;
        hand.moves();
        if G::HAS_MAGAZINES {
            let mut spare = Blocks::new();
            batch.move_to(&mut spare);
            // SAFETY: `G` is this heap's geometry, the blocks are of this class.
            unsafe { self.cores.push_many::<G>(class, &mut spare) };
            self.give_to_pages(class, &mut spare);
        }
        Some(self.hand_out(block))
    }

    /// Claims blocks of this class: from the current page, a listed one, a fresh one, from new memory, from reclaimed memory.
    fn take<'a>(&'a self, core_heap: Option<&'a CoreHeap<G>>, class: SizeClass, want: usize) -> Option<(Batch, Hand<'a>)> {
        let current = core_heap.and_then(|core_heap| core_heap.current(class));
        if let Some(page) = current {
            let mut hand = self.hand();
            if let Some(batch) = self.take_from(page, class, want, &mut hand) {
                return Some((batch, hand));
            }
        }
        let slice_count = Arena::<G>::page_slices::<S>(class, self.arenas.slices_at_most());
        self.until_exhausted(slice_count, 1 << class.block_size().trailing_zeros(), |thoroughly| {
            let mut hand = self.hand();
            let batch = self.search(core_heap, class, want, thoroughly, &mut hand)?;
            Some((batch, hand))
        })
    }

    /// Claims blocks of this class from a listed page or a fresh one; if `thoroughly`, from any page, and for a fresh one a short run will do.
    fn search(
        &self,
        core_heap: Option<&CoreHeap<G>>,
        class: SizeClass,
        want: usize,
        thoroughly: bool,
        hand: &mut Hand<'_>,
    ) -> Option<Batch> {
        // The page is held: it becomes the current one, or is let go.
        let take_from_held = |page: &Page<G>, hand: &mut Hand<'_>| {
            let batch = self.take_from(page, class, want, hand);
            let replaced = match core_heap {
                Some(core_heap) if batch.is_some() => core_heap.replace_current(class, Some(page)),
                _ => Some(page),
            };
            replaced.into_iter().for_each(|page| self.let_go(page));
            batch
        };
        for arena in self.arenas.iter() {
            while let Some(page) = arena.table().hold_listed(class) {
                hand.moves();
                if let Some(batch) = take_from_held(page, hand) {
                    return Some(batch);
                }
            }
        }
        if thoroughly && let Some(block) = self.take_anywhere(class, hand) {
            return Some(block);
        }
        let fresh_page = |slice_count: usize| {
            let page = self.arenas.iter().find_map(|arena| arena.fresh_page(&self.source, class, slice_count))?;
            event!("a fresh page for blocks of {=usize} bytes", class.block_size());
            self.note_used(slice_count as isize);
            Some(page)
        };
        // Where memory is short, a page of one block is better than none.
        let least = run_for::<S, G>(class.block_size());
        let wished = Arena::<G>::page_slices::<S>(class, self.arenas.slices_at_most());
        let page = fresh_page(wished).or_else(|| if thoroughly { fresh_page(least) } else { None })?;
        take_from_held(page, hand)
    }

    /// Claims blocks of a page of this class, whoever holds it.
    pub(crate) fn take_from(&self, page: &Page<G>, class: SizeClass, want: usize, hand: &mut Hand<'_>) -> Option<Batch> {
        match page.take(class, want)? {
            Ok(batch) => Some(batch),
            Err(stray) => {
                hand.moves();
                self.give_word(page, stray.word, stray.bits);
                None
            }
        }
    }

    /// Claims a block of this class from any page that has one, also from those that other contexts hold.
    fn take_anywhere(&self, class: SizeClass, hand: &mut Hand<'_>) -> Option<Batch> {
        self.pages().filter(|page| page.class() == Some(class)).find_map(|page| self.take_from(page, class, 1, hand))
    }

    /// Runs `attempt` until it succeeds or nothing more can be had: gets memory from the source in between, and when that refuses,
    /// searches everywhere. `attempt` is told when it should search thoroughly.
    pub(crate) fn until_exhausted<T>(&self, slice_count: usize, align: usize, attempt: impl Fn(bool) -> Option<T>) -> Option<T> {
        let before = self.knows();
        let found = self
            .until_refused(slice_count, align, || attempt(false))
            .or_else(|| self.search_everywhere(0, before, || self.until_refused(slice_count, align, || attempt(true))));
        if found.is_none() {
            event!("refused: {=usize} slices", slice_count);
        }
        found
    }

    /// Runs `attempt` until it succeeds or the source refuses, which gives memory in between.
    pub(crate) fn until_refused<T>(&self, slice_count: usize, align: usize, attempt: impl Fn() -> Option<T>) -> Option<T> {
        loop {
            let (generation, refusals) = (self.arenas.generation(), self.arenas.refusals());
            if let Some(found) = attempt() {
                return Some(found);
            }
            // If the source would not commit what is there, more of it is of no use.
            let wants_more = self.arenas.refusals() == refusals;
            let needed = Arena::<G>::slices_for_run::<S>(slice_count, align, Self::CORE_HEAP_SLICES).filter(|_| wants_more)?;
            let least = if align <= G::ARENA_SIZE.max(ALIGNED_BY_CHANCE) { slice_count } else { needed };
            if !self.arenas.grow(&self.source, self.cores.core(), generation, least, needed) {
                return None;
            }
        }
    }

    /// Makes room in the magazine for `block`, or gives it to its page.
    #[cold]
    #[inline(never)]
    pub(crate) fn flush(&self, class: SizeClass, block: Block) {
        no_unwind_in_release(|| self.give_and_flush(class, block));
    }

    fn give_and_flush(&self, class: SizeClass, block: Block) {
        let mut blocks = Blocks::new();
        blocks.add(block);
        if let (true, Some(core_heap)) = (G::HAS_MAGAZINES, self.core_heap(false)) {
            let half = self.open_magazine(core_heap, class).div_ceil(2);
            let most = half.min(Blocks::CAPACITY).min(FLUSH_BYTES / class.block_size()).max(1);
            let mut hand = self.hand();
            hand.moves();
            // SAFETY: `G` is this heap's geometry, the block is of this class.
            unsafe { self.cores.pop_many::<G>(class, &mut blocks, most) };
            return self.give_to_pages(class, &mut blocks);
        }
        self.give_to_pages(class, &mut blocks);
    }

    /// Gives blocks to their pages: one atomic operation for each word.
    pub(crate) fn give_to_pages(&self, class: SizeClass, blocks: &mut Blocks) {
        while let Some(block) = blocks.remove() {
            let address = block.address();
            let found = self.page_of(address).and_then(|page| Some((page, page.class()?)));
            // A block that stands in for one of `class` goes back to its own page (H1).
            let Some((page, class)) = found.filter(|(_, own)| own.stands_in_for(class)) else {
                self.misuses.report(Misuse::Foreign, address);
                continue;
            };
            let Some((word, bit)) = page.locate(address) else {
                self.misuses.report(Misuse::Foreign, address);
                continue;
            };
            let (neighbours, mut bits) = (page.word_blocks(class, word), 1 << bit);
            blocks.take_if(|other| {
                match neighbours.bit(other) {
                    None => return false,
                    Some(Ok(bit)) if bits >> bit & 1 == 0 => bits |= 1 << bit,
                    Some(Ok(_)) => self.misuses.report(Misuse::DoubleFree, other),
                    Some(Err(())) => self.misuses.report(Misuse::Foreign, other),
                }
                true
            });
            if self.give_word(page, word, bits) {
                self.misuses.report(Misuse::DoubleFree, address);
            }
        }
    }

    /// Gives blocks of one word that this context owns to their page, and retires it if it is empty; whether one was free before.
    pub(crate) fn give_word(&self, page: &Page<G>, word: usize, bits: usize) -> bool {
        let given = page.give(word, bits);
        if let Some(emptied) = given.emptied {
            let mut hand = self.hand();
            if page.hold(emptied) {
                hand.moves();
                self.let_go(page);
            }
        }
        given.double
    }

    /// Ends this context's hold on a page: retires it if it is empty.
    pub(crate) fn let_go(&self, page: &Page<G>) {
        let slice_count = page.slice_count();
        while !self.retire(page) {
            if page.let_go() {
                return;
            }
        }
        event!("retired a page of {=usize} slices", slice_count);
        self.note_used(-(slice_count as isize));
        self.purge_if_due();
    }

    /// Returns the slices of a page that this context holds; false if it is not empty.
    fn retire(&self, page: &Page<G>) -> bool {
        self.arenas.of(page.start()).is_some_and(|arena| arena.retire(page))
    }

    /// All page headers.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page<G>> {
        self.arenas.iter().flat_map(|arena| arena.table().groups().flat_map(|(_, group)| group.pages()))
    }

    /// This core's heap; made if need be, `None` if there is no memory for it, or too little for all of them. The source is only asked for some if
    /// `may_grow`, and nothing is reclaimed for it: a core without one is slower, but served.
    pub(crate) fn core_heap<'a>(&'a self, may_grow: bool) -> Option<&'a CoreHeap<G>> {
        // Nothing at all where there is too little: then no more is asked for either.
        let claim = || {
            let claim_in = |arena: &'a Arena<G>| Some((arena, arena.claim_metadata::<S, CoreHeap<G>>(&self.source)?));
            if self.has_room_for_core_heap() { self.arenas.iter().find_map(claim_in).map(Some) } else { Some(None) }
        };
        loop {
            // Asked again when one was made: this may run on another core by then, and the `CoreLocal` has something to give out.
            let core = self.cores.core();
            // SAFETY: `G` is this heap's geometry.
            if let Some(core_heap) = unsafe { self.cores.slot(core).heap::<G>() } {
                core_heap.note_use();
                return Some(core_heap);
            }
            let mut hand = self.hand();
            let claimed =
                if may_grow { self.until_refused(Self::CORE_HEAP_SLICES, align_of::<CoreHeap<G>>(), claim) } else { claim() };
            let (arena, memory) = claimed.flatten()?;
            // SAFETY: zeroed memory that stays (C1).
            if unsafe { self.cores.install::<G>(core, memory.as_ptr()) } {
                self.note_used(Self::CORE_HEAP_SLICES as isize);
            } else {
                hand.moves();
                arena.return_metadata::<S, _>(memory);
            }
        }
    }

    /// Whether core heaps, with one more of them, are a small part of the memory.
    fn has_room_for_core_heap(&self) -> bool {
        let most = self.arenas.slices_at_most();
        // SAFETY: `G` is this heap's geometry.
        let is_made = |core: &usize| unsafe { self.cores.slot(*core).heap::<G>() }.is_some();
        most == usize::MAX
            || (0..self.cores.core_count()).filter(is_made).count() < most / CORE_HEAPS_SHARE / Self::CORE_HEAP_SLICES
    }

    /// Makes sure that the magazine of this class takes blocks; returns how many.
    fn open_magazine(&self, core_heap: &CoreHeap<G>, class: SizeClass) -> usize {
        self.opens_magazine(core_heap, class);
        G::magazine_limit(class)
    }

    /// Lets the magazine of this class take blocks (M3); whether it took none until now.
    pub(crate) fn opens_magazine(&self, core_heap: &CoreHeap<G>, class: SizeClass) -> bool {
        // SAFETY: a class of this heap's geometry, which has magazines, or its callers do not come here.
        let magazine = unsafe { core_heap.magazine(class) };
        let is_new = magazine.limit() == 0;
        if is_new {
            magazine.set_limit(G::magazine_limit(class));
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
