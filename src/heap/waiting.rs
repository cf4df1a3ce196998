//! Large blocks that wait in magazines for the next request of their length.
//!
//! *Role*: the quick way of [`large`](super::large). A large block that is freed keeps its slices, its entry in the page table and its header, which says
//! that it waits; its address goes into a magazine. So whoever pops it has all of them, and a second free of it is noticed.
//!
//! Such blocks are as long as a size class would be: eight lengths to each doubling. They go back to their slices when memory is short, with each
//! [`purge`](Heap::purge) and each [`purge_aged`](Heap::purge_aged). A heap with a clock returns those of the core that looks at it, every half second.

use core::num::NonZeroUsize;

use crate::base::block::Block;
use crate::base::size_class::SizeClass;
use crate::cores::core_local::CoreLocal;
use crate::heap::Heap;
use crate::pages::geometry::Geometry;
use crate::pages::page::Page;
use crate::source::page_source::PageSource;

impl<S: PageSource, C: CoreLocal, G: Geometry> Heap<S, C, G> {
    /// The class of large blocks that have at least so many slices; `None` if they do not wait in magazines.
    pub(crate) fn waiting_class(slice_count: usize) -> Option<SizeClass> {
        if !G::HAS_WAITING {
            return None;
        }
        let class = SizeClass::of(slice_count * G::SLICE_SIZE, 1, G::WAITS_UP_TO)?;
        // Whole slices and OS pages: each is one owner's.
        let is_whole = class.block_size().is_multiple_of(G::SLICE_SIZE) && class.block_size().is_multiple_of(S::OS_PAGE_SIZE);
        (class.index() >= G::CLASS_COUNT && is_whole).then_some(class)
    }

    /// Hands out a large block of this class that waits in this core's magazine; returns where it starts.
    pub(crate) fn take_waiting(&self, class: SizeClass) -> Option<usize> {
        // SAFETY: this geometry has a magazine for each class of large blocks that wait.
        let block = unsafe { self.pop_own(class) }?;
        self.page_of(block.address()).map(Page::reopen_large)?;
        Some(block.address())
    }

    /// Puts the large block of this header, which the caller has claimed, into this core's magazine; false if there is no room, and it is the caller's still.
    pub(crate) fn keep_waiting(&self, page: &Page<G>) -> bool {
        let is_of = |class: &SizeClass| class.block_size() == page.slice_count() * G::SLICE_SIZE;
        let Some((class, start)) = Self::waiting_class(page.slice_count()).filter(is_of).zip(NonZeroUsize::new(page.start()))
        else {
            return false;
        };
        // SAFETY: the program gave the block up, and this context has claimed the header.
        let block = unsafe { Block::from_address(start) };
        // Before others can have it.
        page.begin_waiting();
        let Err(block) = self.push_waiting(class, block) else { return true };
        // The magazine is full, or was never used.
        let is_opened = self.core_heap(false).is_some_and(|core_heap| self.opens_magazine(core_heap, class));
        let is_kept = is_opened && self.push_waiting(class, block).is_ok();
        if !is_kept {
            page.end_waiting();
        }
        is_kept
    }

    fn push_waiting(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: `G` is this heap's geometry, and has a magazine for this class; alone on it.
        unsafe {
            self.cores.push::<G>(class, block).or_else(|block| {
                let alone = |block| self.cores.alone::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)).flatten();
                if C::QUICK_FIRST { alone(block) } else { Err(block) }
            })
        }
    }

    /// Gives a large block that waited in a magazine back to the slices.
    pub(crate) fn return_waiting(&self, block: Block) {
        let address = block.address();
        if let Some((arena, page)) = self.arenas.of(address).and_then(|arena| Some((arena, arena.page_of(address)?))) {
            let slice_count = page.slice_count();
            page.end_waiting();
            arena.return_large(&self.source, page);
            self.note_used(-(slice_count as isize));
        }
    }

    /// Gives the large blocks that wait in all magazines back to the slices.
    pub(crate) fn return_all_waiting(&self) {
        if !G::HAS_WAITING || self.waiting_pages().next().is_none() {
            return;
        }
        let mut hand = self.hand();
        // SAFETY: `G` is this heap's geometry.
        unsafe {
            self.cores.alone_on_each::<G>(|core_heap| {
                for (class, magazine) in core_heap.magazines().skip(G::CLASS_COUNT) {
                    self.drain_magazine(class, &magazine, &mut hand);
                }
            });
        }
    }

    /// The headers of all large blocks that wait in magazines: a snapshot.
    pub(crate) fn waiting_pages(&self) -> impl Iterator<Item = &Page<G>> {
        let magazines = self.core_heaps().flat_map(|core_heap| core_heap.magazines().skip(G::CLASS_COUNT));
        magazines.flat_map(|(_, magazine)| magazine.addresses(C::SHARED)).filter_map(|address| self.page_of(address))
    }
}

#[cfg(test)]
mod tests;
