//! Giving memory back: from magazines to pages, from pages to slices, from slices to the page source.
//!
//! *Role*: the part of [`Heap`] that runs before null is returned, when the program asks for it, and when time has passed; and what checks the heap: a free
//! in a debug build, and `assert_valid`.

use crate::base::batch::Batch;
use crate::base::bitmap::next_run;
use crate::base::block::{Block, Blocks};
use crate::base::misuse::Misuse;
use crate::base::size_class::SizeClass;
use crate::base::sync::{Ordering, WORD_BITS};
use crate::cores::core_heap::CoreHeap;
use crate::cores::core_local::CoreLocal;
use crate::cores::in_hand::Hand;
use crate::cores::magazine::Magazine;
use crate::heap::Heap;
use crate::heap::fall::{MOST_MS, MOST_STEPS, STEP};
use crate::pages::arena::Arena;
use crate::pages::geometry::{Geometry, LARGE_SLOTS, MOST_PAGE_BLOCKS};
use crate::pages::page::Page;
use crate::pages::region_blocks::RegionBlock;
use crate::source::page_source::PageSource;

/// How long free memory stays committed at least, in milliseconds of the source's clock; at most twice as long while the heap
/// is in use.
const PURGE_DELAY_MS: usize = 500;

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// Empties every core's magazines and returns every empty page, then gives the memory of all free slices back to the source;
    /// returns how many bytes that were. A source that can discard gets what lies between live blocks as well, OS page by OS page.
    ///
    /// Any context may call it at any time; it takes time in proportion to the memory in use. A magazine that is busy throughout is
    /// left alone.
    pub fn purge(&self) -> usize {
        self.reclaim();
        if S::DISCARDS {
            self.pages().for_each(|page| self.discard_free(page));
        }
        self.purge_slices(false, usize::MAX)
    }

    /// Gives the memory of those slices back that were free at the previous call already; returns how many bytes. First large blocks that wait in magazines
    /// become free slices, and what a core has ready that has filled and emptied no magazine since the previous call becomes free. If the source has a clock it is
    /// called by itself every now and then, but for other cores' magazines; else call it at regular intervals.
    pub fn purge_aged(&self) -> usize {
        self.return_all_waiting();
        self.reclaim_idle();
        self.purge_slices(true, usize::MAX)
    }

    /// Gives the memory of free slices back to the source, about `most` bytes; returns how many.
    pub(crate) fn purge_slices(&self, only_aged: bool, most: usize) -> usize {
        let mut hand = self.hand();
        let purge = |bytes, arena: &Arena<G>| bytes + arena.slices().purge(&self.source, only_aged, most - most.min(bytes));
        let bytes = self.arenas.iter().fold(0, purge);
        if bytes > 0 {
            hand.moves();
        }
        bytes
    }

    /// Moves all that no program holds from magazines and current pages to the slices. Returns a core whose magazines were busy throughout.
    pub(crate) fn reclaim(&self) -> Option<usize> {
        // SAFETY: `G` is this heap's geometry.
        let busy = unsafe { self.cores.alone_on_each::<G>(|core_heap| self.drain(core_heap)) };
        // Where no other core's can be had, this one's can.
        self.drain_own(0);
        self.core_heaps().for_each(|core_heap| self.let_go_of_current(core_heap));
        busy
    }

    /// The same of cores that filled and emptied no magazine since the previous call.
    fn reclaim_idle(&self) {
        for core in 0..self.cores.core_count() {
            // SAFETY: `G` is this heap's geometry.
            let Some(core_heap) = (unsafe { self.cores.slot(core).heap::<G>() }).filter(|core_heap| !core_heap.was_used()) else {
                continue;
            };
            if core_heap.magazines().any(|(_, magazine)| magazine.addresses(C::SHARED).next().is_some()) {
                // SAFETY: as above.
                unsafe { self.cores.alone_on::<G, _>(core, |core_heap| self.drain(core_heap)) };
            }
            self.let_go_of_current(core_heap);
        }
    }

    /// Lets the pages go that a core takes blocks from.
    fn let_go_of_current(&self, core_heap: &CoreHeap<G>) {
        let mut hand = self.hand();
        for page in Self::classes().filter_map(|class| core_heap.replace_current(class, None)) {
            hand.moves();
            self.let_go(page);
        }
    }

    /// Discards the OS pages of a page on which only free blocks lie.
    fn discard_free(&self, page: &Page<G>) {
        let Some(class) = page.class().filter(|class| page.free_count() * class.block_size() >= S::OS_PAGE_SIZE) else { return };
        let mut hand = self.hand();
        hand.moves();
        // Claimed meanwhile, so that nobody gets them. With one in hand the page stays what it is (P2).
        let size = class.block_size();
        let mut words = [0; MOST_PAGE_BLOCKS / WORD_BITS];
        for _ in 0..G::PAGE_BLOCKS / WORD_BITS {
            let Some((start, bits)) = self.take_from(page, class, WORD_BITS, &mut hand).map(Batch::into_bits) else { break };
            words[(start - page.start()) / (WORD_BITS * size)] |= bits;
        }
        let mut from = 0;
        while let Some(run) = next_run(G::PAGE_BLOCKS, from, |index| words[index]) {
            from = run.end;
            let start = (page.start() + run.start * size).next_multiple_of(S::OS_PAGE_SIZE);
            let end = (page.start() + run.end * size) / S::OS_PAGE_SIZE * S::OS_PAGE_SIZE;
            if start < end {
                // SAFETY: whole OS pages of a region, under blocks of this context.
                unsafe { self.source.discard(self.pointer_at(start), end - start) };
            }
        }
        for (word, bits) in words.iter().enumerate().filter(|(_, bits)| **bits != 0) {
            self.give_word(page, word, *bits);
        }
    }

    /// Gives every block in a core heap's magazines, on which this context is alone unless they are shared, to its page.
    fn drain(&self, core_heap: &CoreHeap<G>) {
        let mut hand = self.hand();
        for (class, magazine) in core_heap.magazines() {
            self.drain_magazine(class, &magazine, &mut hand);
        }
    }

    /// Gives what is in this core's magazines back, from this class on, while others on this core go on using them.
    pub(crate) fn drain_own(&self, first_class: usize) {
        let class_count = if G::HAS_MAGAZINES { SizeClass::count(G::WAITS_UP_TO) } else { 0 };
        let mut hand = self.hand();
        for class in (first_class..class_count).map(SizeClass::from_index) {
            // No more than fit into one magazine: others may go on filling it.
            // SAFETY: this geometry has a magazine for the class.
            let pop = |_| unsafe { self.pop_own(class) };
            self.give_back(class, (0..G::MAGAZINE_SLOTS.max(LARGE_SLOTS)).map_while(pop), &mut hand);
        }
    }

    /// A block of this core's magazine of this class.
    ///
    /// # Safety
    /// This geometry has a magazine for the class.
    pub(crate) unsafe fn pop_own(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: `G` is this heap's geometry; the caller's promise; alone on the magazine.
        unsafe {
            self.cores.pop::<G>(class).or_else(|| {
                let alone = || self.cores.alone::<G, _, _>((), |heap, ()| heap.magazine(class).pop());
                if C::QUICK_FIRST { alone().ok().flatten() } else { None }
            })
        }
    }

    /// The same of one magazine.
    pub(crate) fn drain_magazine(&self, class: SizeClass, magazine: &Magazine<'_>, hand: &mut Hand<'_>) {
        // SAFETY: alone on the magazine, unless it is shared (M4).
        let pop = |_| unsafe { if C::SHARED { magazine.pop_beside(|| ()) } else { magazine.pop() } };
        // No more than fit into it: others may go on filling what is shared.
        self.give_back(class, (0..magazine.slot_count()).map_while(pop), hand);
    }

    /// Gives blocks of one class, which this context owns, to their pages; large ones that waited to the slices.
    fn give_back(&self, class: SizeClass, given: impl Iterator<Item = Block>, hand: &mut Hand<'_>) {
        let mut blocks = Blocks::new();
        for block in given {
            hand.moves();
            if class.index() >= G::CLASS_COUNT {
                self.return_waiting(block);
                continue;
            }
            blocks.add(block);
            if blocks.addresses().len() == Blocks::CAPACITY {
                self.give_to_pages(class, &mut blocks);
            }
        }
        self.give_to_pages(class, &mut blocks);
    }

    /// Does what [`purge_aged`](Self::purge_aged) does, but for other cores' magazines, if the source's clock says that it is time; and gives memory back at
    /// once if use has [fallen](super::fall::Fall).
    pub(crate) fn purge_if_due(&self) {
        if !S::DECOMMITS {
            return;
        }
        let now = self.source.now_ms() as usize;
        let due = self.next_purge_ms.load(Ordering::Relaxed);
        if now == 0 {
            return;
        }
        let used = self.slices_used.load(Ordering::Relaxed);
        if self.fall.begin(used, G::SLICE_SIZE, now) {
            self.purge_after_fall(now);
            self.fall.end();
        }
        // Compared as a difference: the clock may wrap around. Due at once if it is seen for the first time, whatever it shows then.
        if due != 0 && (now.wrapping_sub(due) as isize) < 0 {
            return;
        }
        let next = now.wrapping_add(PURGE_DELAY_MS);
        if self.next_purge_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // This core's only: to be alone on others' takes long, and in an interrupt too long for what comes every half second.
            self.drain_own(G::CLASS_COUNT);
            self.purge_slices(true, usize::MAX);
        }
    }

    /// Gives memory back because use has fallen: for some milliseconds; and if that was all, what lies in magazines as well.
    fn purge_after_fall(&self, now: usize) {
        let (mut steps, mut bytes) = (0, 0);
        let is_all = loop {
            let given = self.purge_slices(false, STEP);
            (steps, bytes) = (steps + 1, bytes + given);
            if given < STEP {
                break true;
            }
            if steps == MOST_STEPS || (self.source.now_ms() as usize).wrapping_sub(now) >= MOST_MS {
                break false;
            }
        };
        if is_all {
            // Some blocks of each class in magazines keep as many pages.
            if self.core_heaps().nth(1).is_some() {
                self.reclaim();
            } else {
                self.drain_own(0);
            }
            // Whatever the clock says, so that this is done once.
            bytes += self.purge_slices(false, usize::MAX);
        }
        let used = self.slices_used.load(Ordering::Relaxed);
        self.fall.note_given(bytes / G::SLICE_SIZE, G::SLICE_SIZE, is_all.then_some(used));
    }

    /// Counts slices that came into use, or (negative) went out of it.
    pub(crate) fn note_used(&self, slices: isize) {
        let used = self.slices_used.fetch_add(slices as usize, Ordering::Relaxed).wrapping_add(slices as usize);
        if slices > 0 {
            self.slices_peak.fetch_max(used.wrapping_add(self.slices_apart.load(Ordering::Relaxed)), Ordering::Relaxed);
            if S::DECOMMITS {
                self.fall.note_rise(used);
            }
        }
    }

    /// The same for a block that has a region of its own.
    pub(crate) fn note_apart(&self, slices: isize) {
        let apart = self.slices_apart.fetch_add(slices as usize, Ordering::Relaxed).wrapping_add(slices as usize);
        if slices > 0 {
            self.slices_peak.fetch_max(apart.wrapping_add(self.slices_used.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// The most bytes of slices that were ever in use.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.slices_peak.load(Ordering::Relaxed) * G::SLICE_SIZE
    }

    /// All core heaps.
    pub(crate) fn core_heaps(&self) -> impl Iterator<Item = &CoreHeap<G>> {
        // SAFETY: `G` is this heap's geometry.
        (0..self.cores.core_count()).filter_map(|core| unsafe { self.cores.slot(core).heap::<G>() })
    }

    /// The class of each block in a magazine: its own, also where it stands in for another.
    pub(crate) fn classes_in_magazines(&self) -> impl Iterator<Item = SizeClass> {
        let addresses =
            self.core_heaps().flat_map(|core_heap| core_heap.magazines().flat_map(|(_, magazine)| magazine.addresses(C::SHARED)));
        addresses.filter_map(|address| self.arenas.class_of(address))
    }

    /// The core that takes its blocks of this class from this page.
    pub(crate) fn core_of(&self, page: &Page<G>, class: SizeClass) -> Option<usize> {
        // SAFETY: `G` is this heap's geometry.
        let current = |core| unsafe { self.cores.slot(core).heap::<G>() }?.current(class);
        (0..self.cores.core_count()).find(|core| current(*core).is_some_and(|other| core::ptr::eq(other, page)))
    }

    /// All size classes.
    pub(crate) fn classes() -> impl Iterator<Item = SizeClass> {
        (0..G::CLASS_COUNT).map(SizeClass::from_index)
    }

    /// Whether a block of this class may be freed at this address; reports what is wrong. For debug builds: an owned block is out
    /// of its page's bitmap and in nobody's magazine.
    #[cold]
    pub(crate) fn check_free(&self, address: usize, class: SizeClass) -> bool {
        let wrong = match self.page_of(address) {
            None => Some(Misuse::Foreign),
            Some(page) if page.class().is_none_or(|own| !own.stands_in_for(class)) => Some(Misuse::WrongLayout),
            Some(page) => match page.locate(address) {
                None => Some(Misuse::Foreign),
                Some((word, bit)) if page.is_free(word, bit) => Some(Misuse::DoubleFree),
                Some(_) => self.is_in_magazine(address, class).then_some(Misuse::DoubleFree),
            },
        };
        wrong.inspect(|wrong| self.misuses.report(*wrong, address)).is_none()
    }

    /// Whether this core's magazine holds the block.
    fn is_in_magazine(&self, address: usize, class: SizeClass) -> bool {
        let core = self.cores.core();
        // SAFETY: `G` is this heap's geometry.
        unsafe {
            // A look from outside may be wrong while others pop and push, a look from inside is not.
            let seen = |core_heap: &CoreHeap<G>| {
                G::HAS_MAGAZINES && core_heap.magazine(class).addresses(C::SHARED).any(|inside| inside == address)
            };
            self.cores.slot(core).heap::<G>().is_some_and(seen) && self.cores.alone_on::<G, _>(core, seen) == Some(true)
        }
    }

    /// Checks every invariant that memory shows. Only while no other context uses the heap.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn assert_valid(&self) {
        self.arenas.iter().for_each(|arena| arena.assert_valid());
        assert_eq!(
            self.waiting_pages().count(),
            self.pages().filter(|page| page.is_waiting()).count(),
            "M1: large blocks that wait"
        );
        self.region_blocks.blocks().for_each(RegionBlock::assert_valid);
        for core_heap in self.core_heaps() {
            for (class, magazine) in core_heap.magazines() {
                magazine.assert_valid();
                magazine.addresses(C::SHARED).for_each(|address| {
                    let page = self.page_of(address).expect("M1: a block in a magazine has a page");
                    if class.index() >= G::CLASS_COUNT {
                        assert!(page.is_waiting() && page.start() == address, "M1: a large block that waits");
                        return assert_eq!(page.slice_count() * G::SLICE_SIZE, class.block_size(), "H1: its length");
                    }
                    let own = page.class().expect("M1: it is no large block");
                    assert!(own.stands_in_for(class), "H1: a block of {own:?} in a magazine of {class:?}");
                    let (word, bit) = page.locate(address).expect("M1: a block starts here");
                    assert!(!page.is_free(word, bit), "K1: a block both in a magazine and free in its page");
                });
            }
            for class in Self::classes() {
                let is_of = |page: &Page<G>| page.is_held() && page.class() == Some(class);
                assert!(core_heap.current(class).is_none_or(is_of), "C2: {class:?}");
            }
        }
        for page in self.pages().filter(|page| page.is_held()) {
            assert!(
                page.class().is_some_and(|class| self.core_of(page, class).is_some()),
                "P3: a page that nobody holds is held"
            );
        }
        assert_eq!(self.misuses.count(), 0, "the program freed what it should not have");
    }
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Drop for Heap<S, C, G> {
    fn drop(&mut self) {
        if !S::RELEASES {
            return;
        }
        // First, because what they are known by lies in arenas.
        for region in self.region_blocks.blocks().filter_map(RegionBlock::region) {
            // SAFETY: `&mut self`: nobody uses the heap any more, so nobody uses its regions.
            unsafe { self.source.release(region) };
        }
        // Each arena lies in the region that goes, so the next one is read first.
        let mut arenas = self.arenas.iter();
        let mut next = arenas.next();
        while let Some(arena) = next {
            next = arenas.next();
            // SAFETY: as above.
            unsafe { self.source.release(arena.region()) };
        }
    }
}

#[cfg(test)]
mod tests;
