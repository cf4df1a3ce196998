use core::alloc::Layout;
use core::num::NonZeroUsize;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

use super::*;
use crate::base::sync::{AtomicUsize, Ordering, WORD_BITS};
use crate::cores::core_local::SingleCore;
use crate::heap::shortage::tests::scripted::{self, Paged, TwoCores, layout, leave};
use crate::pages::geometry::Compact;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::{Region, RegionRequest};
use crate::source::sources::FixedRegion;

type OneCore = Heap<FixedRegion, SingleCore, Compact>;

const SIZE: usize = 48;

fn class(size: usize) -> SizeClass {
    Compact::class_of(size, 1).unwrap()
}

/// Memory for a heap.
fn memory() -> Vec<u8> {
    std::vec![0; 256 << 10]
}

fn heap(memory: &mut Vec<u8>) -> OneCore {
    // SAFETY: each test keeps the memory longer than the heap, and has one thread.
    unsafe { Heap::new(FixedRegion::over(memory.as_mut_ptr(), memory.len()), SingleCore::new()) }
}

/// So many blocks of one word of a page, with nothing in the magazine.
fn blocks(heap: &OneCore, count: usize) -> Vec<usize> {
    let allocate = |_| heap.allocate(Layout::from_size_align(SIZE, 1).unwrap()).unwrap().addr().get();
    let blocks = (0..count).map(allocate).collect();
    heap.purge();
    blocks
}

/// Gives what claims to be blocks of one class to their pages, the last first; what was reported.
fn give(heap: &OneCore, class: SizeClass, addresses: &[usize]) -> usize {
    let before = heap.misuses.count();
    let mut blocks = Blocks::new();
    for address in addresses {
        // SAFETY: misuse on purpose, where it is none; a flush must see it.
        blocks.add(unsafe { Block::from_address(NonZeroUsize::new(*address).unwrap()) });
    }
    let result = catch_unwind(AssertUnwindSafe(|| heap.give_to_pages(class, &mut blocks)));
    let reported = heap.misuses.count() - before;
    assert_eq!(result.is_err(), cfg!(debug_assertions) && reported > 0, "a debug build panics");
    reported
}

#[test]
fn a_flush_reports_what_is_no_block_of_its_class() {
    let mut memory = memory();
    let heap = heap(&mut memory);
    let own = blocks(&heap, 4);
    let other = heap.allocate(Layout::from_size_align(2000, 1).unwrap()).unwrap().addr().get();
    let elsewhere = Box::new([0u64; 8]);
    let of_another_class = heap.allocate(Layout::from_size_align(200, 1).unwrap()).unwrap().addr().get();
    for wrong in [own[0] + 8, own[3] + 1, other, of_another_class, core::ptr::from_ref(&*elsewhere).addr()] {
        assert_eq!(give(&heap, class(SIZE), &[wrong]), 1, "alone");
    }
    // As one of several of a word.
    assert_eq!(give(&heap, class(SIZE), &[own[1] + 8, own[2]]), 1);
}

#[test]
fn a_flush_reports_a_block_that_is_in_it_twice() {
    let mut memory = memory();
    let heap = heap(&mut memory);
    let own = blocks(&heap, 4);
    assert_eq!(give(&heap, class(SIZE), &[own[1], own[2], own[1]]), 1);
}

#[test]
fn a_flush_reports_a_block_that_is_free_already() {
    let mut memory = memory();
    let heap = heap(&mut memory);
    let own = blocks(&heap, 4);
    assert_eq!(give(&heap, class(SIZE), &[own[1], own[2]]), 0);
    for again in [&own[1..2], &[own[1], own[3]]] {
        assert_eq!(give(&heap, class(SIZE), again), 1, "free in its page");
    }
}

#[test]
fn the_last_block_that_comes_back_retires_its_page() {
    let mut memory = memory();
    let heap = heap(&mut memory);
    let own = blocks(&heap, Blocks::CAPACITY + 8);
    let (last, others) = own.split_last().unwrap();
    for chunk in others.chunks(Blocks::CAPACITY) {
        assert_eq!(give(&heap, class(SIZE), chunk), 0);
    }
    let open = || heap.pages().filter(|page| page.class().is_some()).count();
    assert_eq!((open(), heap.stats().used), (1, SIZE));
    assert_eq!(give(&heap, class(SIZE), &[*last]), 0);
    assert_eq!((open(), heap.stats().used), (0, 0));
    heap.assert_valid();
}

macro_rules! with_magazines {
    ($name:ident, $bytes:expr) => {
        crate::geometry! {
            struct $name {
                slice_size: 1024, max_block: 16 * 1024, page_size: 64 * 1024, arena_size: 1 << 20, magazine_slots: 160,
                magazine_bytes: $bytes, page_words: 256 / usize::BITS as usize, pages_per_group: 8, listed_words: 8, grow_size: 4096,
            }
        }
    };
}

with_magazines!(Little, 9 << 10);
with_magazines!(Much, 36 << 10);

/// How many blocks a magazine holds at most, how many after a refill that served one, and how many after a flush that took one more.
fn moved<G: Geometry>(size: usize) -> [usize; 3] {
    let mut memory: Vec<u8> = std::vec![0; G::ARENA_SIZE];
    // SAFETY: it outlives the heap, which one thread uses.
    let (source, cores) = unsafe { (FixedRegion::over(memory.as_mut_ptr(), memory.len()), SingleCore::new()) };
    let heap: Heap<_, _, G> = Heap::new(source, cores);
    let (layout, class) = (layout(size), G::class_of(size, 1).unwrap());
    let take = |_| heap.allocate(layout).expect("room");
    let first = take(0);
    // SAFETY: the heap's geometry, which has magazines.
    let magazine = unsafe { heap.cores.slot(0).heap::<G>().expect("one was made").magazine(class) };
    let (limit, refilled) = (magazine.limit(), magazine.count());
    let blocks: Vec<_> = (0..limit).map(take).chain([first]).collect();
    heap.purge();
    assert_eq!(magazine.count(), 0);
    for block in blocks {
        // SAFETY: a live block of this layout.
        unsafe { heap.deallocate(block, layout) };
    }
    let flushed = magazine.count();
    heap.purge();
    assert_eq!((magazine.count(), heap.stats().used), (0, 0));
    heap.assert_valid();
    [limit, refilled, flushed]
}

/// Half a magazine, but no more than a word's blocks, or 64; a flush no more than 8 KiB, or the one that had no room.
#[test]
#[cfg_attr(miri, ignore = "long; much memory")]
fn a_refill_and_a_flush_move_so_many_blocks() {
    assert_eq!(moved::<Little>(8), [160, WORD_BITS - 1, 160 - 63]);
    assert_eq!(moved::<Little>(1024), [9, 4, 5]);
    // With words of 32 bits a page has 16 blocks of this size.
    assert_eq!(moved::<Much>(1024), [36, if WORD_BITS == 32 { 15 } else { 17 }, 36 - 7]);
    assert_eq!(moved::<Much>(10 * 1024), [3, 1, 3]);
    assert_eq!(moved::<Much>(16 * 1024), [2, 0, 2]);
}

fn paged(size: usize) -> SizeClass {
    Paged::class_of(size, 1).unwrap()
}

fn page_of(heap: &TwoCores, block: NonNull<u8>) -> &Page<Paged> {
    heap.page_of(block.addr().get()).expect("its page")
}

/// How often memory was moved on this core meanwhile.
fn moves(heap: &TwoCores, core: usize, work: impl FnOnce()) -> usize {
    let before = heap.cores.slot(core).in_hand().moves();
    work();
    assert!(heap.cores.slot(core).in_hand().is_empty());
    heap.cores.slot(core).in_hand().moves() - before
}

fn free(heap: &TwoCores, block: NonNull<u8>, size: usize) {
    // SAFETY: a live block of this size.
    unsafe { heap.deallocate(block, layout(size)) };
}

/// A search that finds nothing sees that somebody had free memory in hand, and looks again (I1).
#[test]
fn blocks_that_are_moved_while_memory_is_short_count() {
    let (heap, first) = scripted::heap();
    let take = || heap.allocate(layout(100)).expect("room");
    let mut blocks = std::vec![first, take(), take()];
    heap.arenas.note_shortage();
    assert_eq!(moves(&heap, 0, || blocks.push(take())), 1, "a refill from the current page");
    blocks.extend((0..10).map(|_| take()));
    let (last, others) = blocks.split_last().unwrap();
    heap.reclaim();
    others[..6].iter().for_each(|block| free(&heap, *block, 100));
    assert_eq!(moves(&heap, 0, || free(&heap, others[6], 100)), 1, "a flush");
    others[7..].iter().for_each(|block| free(&heap, *block, 100));
    heap.reclaim();
    // SAFETY: the block is given up.
    let block = unsafe { Block::from_address(last.addr()) };
    let mut given = Blocks::new();
    given.add(block);
    assert_eq!(moves(&heap, 0, || heap.give_to_pages(paged(100), &mut given)), 1, "a page is retired");
    assert_eq!(heap.stats().used, 0);
}

/// What was taken from a page that has become one of another class goes back to it.
#[test]
fn blocks_of_another_class_go_back() {
    let (heap, block) = scripted::heap();
    heap.arenas.note_shortage();
    let page = page_of(&heap, block);
    let count = page.free_count();
    let take = || {
        let mut hand = heap.hand();
        assert!(heap.take_from(page, paged(200), 2, &mut hand).is_none());
    };
    assert_eq!((moves(&heap, 0, take), page.free_count()), (1, count));
    // Nothing is taken where it is known to be one.
    let take = || assert!(heap.take_anywhere(paged(200), &mut heap.hand()).is_none());
    assert_eq!(moves(&heap, 0, take), 0);
}

/// A page that somebody emptied while it was listed is nobody's current page.
#[test]
fn a_listed_page_without_blocks_is_let_go() {
    let (heap, block) = scripted::heap();
    heap.reclaim();
    heap.arenas.note_shortage();
    let (class, count) = (paged(100), page_of(&heap, block).free_count());
    let mut hand = heap.hand();
    let taken: Vec<_> = core::iter::from_fn(|| heap.take_anywhere(class, &mut hand)).map(|mut batch| batch.lowest()).collect();
    drop(hand);
    assert!(taken.len() == count && taken.iter().all(Option::is_some), "one at a time");
    leave(&heap, 0);
    // SAFETY: the heap's geometry.
    let core_heap = unsafe { heap.cores.slot(0).heap::<Paged>() };
    let search = || {
        let mut hand = heap.hand();
        assert!(heap.search(core_heap, class, 1, false, &mut hand).is_none());
    };
    assert_eq!(moves(&heap, 0, search), 1, "it was held for a moment");
    assert!(heap.pages().all(|page| !page.is_held()));
}

/// The page that a core takes its blocks from stays with it; another core has its own, as long as there is memory.
#[test]
fn each_core_has_a_page_of_its_own() {
    let (heap, block) = scripted::heap();
    let page = page_of(&heap, block);
    assert!(page.is_held() && heap.core_of(page, paged(100)) == Some(0));
    heap.cores.core.store(1, Ordering::Relaxed);
    let other = heap.allocate(layout(100)).expect("room");
    assert_eq!(heap.core_of(page_of(&heap, other), paged(100)), Some(1));
    assert_eq!(heap.core_of(page, paged(100)), Some(0));
    assert_eq!(heap.core_of(page, paged(200)), None);
    assert_eq!((page_of(&heap, other).slice_count(), page.free_count() > 0), (page.slice_count(), true));
    heap.assert_valid();
}

/// A short page is for when the source has no more.
#[test]
fn the_source_is_asked_before_a_page_is_made_short() {
    let (heap, _) = scripted::heap();
    leave(&heap, 1);
    heap.source.regions.store(2, Ordering::Relaxed);
    let block = heap.allocate(layout(8)).expect("room");
    assert!(page_of(&heap, block).slice_count() >= 7);
    assert_eq!(heap.arenas.iter().count(), 2);
}

/// Too little memory for a core heap: blocks come from pages and go back to them, and the source is not asked for more.
#[test]
fn a_core_without_a_core_heap_is_served() {
    let (heap, block) = scripted::heap_of(6 << 10);
    // SAFETY: the heap's geometry.
    assert!(unsafe { heap.cores.slot(0).heap::<Paged>() }.is_none());
    let other = heap.allocate(layout(100)).expect("room");
    assert!(core::ptr::eq(page_of(&heap, other), page_of(&heap, block)));
    assert_eq!(heap.stats().used, 2 * paged(100).block_size());
    free(&heap, block, 100);
    free(&heap, other, 100);
    assert_eq!((heap.stats().used, heap.slices_used.load(Ordering::Relaxed)), (0, 0));
    assert_eq!(heap.source.reserves.load(Ordering::Relaxed), 1);
    heap.assert_valid();
}

/// The source allocates from the heap while a core heap is made: there is one already when it is.
#[test]
fn a_core_heap_that_was_made_twice_goes_back() {
    let (heap, _) = scripted::heap();
    let slices = TwoCores::CORE_HEAP_SLICES;
    let arena = heap.arenas.iter().next().expect("an arena");
    let (metadata, used) = (arena.metadata_bytes(), heap.slices_used.load(Ordering::Relaxed));
    heap.arenas.note_shortage();
    heap.cores.core.store(1, Ordering::Relaxed);
    heap.source.calls_back.store(core::ptr::from_ref(&*heap).cast_mut(), Ordering::Relaxed);
    let made = moves(&heap, 1, || assert!(heap.core_heap(true).is_some()));
    assert_eq!(made, 2, "a refill for the source, and what went back");
    assert_eq!(arena.metadata_bytes(), metadata + slices * Paged::SLICE_SIZE);
    let page = heap.pages().filter_map(|page| page.class().map(|_| page.slice_count())).last().expect("the source's");
    assert_eq!(heap.slices_used.load(Ordering::Relaxed), used + slices + page);
    heap.assert_valid();
}

crate::geometry! {
    /// Blocks that are aligned to many slices.
    struct Aligned {
        slice_size: 128, max_block: 4096, page_size: 4096, arena_size: 16 * 1024, magazine_slots: 0,
        page_words: 1, pages_per_group: 8, listed_words: 1, grow_size: 4096, fit_candidates: 1,
    }
}

/// Gives just the least that it is asked for, from a slice on that is so far behind a multiple of the biggest block.
struct Least {
    memory: NonNull<u8>,
    skew: usize,
    calls: AtomicUsize,
}

// SAFETY: each region goes out once.
unsafe impl Sync for Least {}

// SAFETY: as above.
unsafe impl PageSource for Least {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(request.min_size <= 60 << 10);
        // SAFETY: inside the memory.
        (call < 4).then(|| Region { start: unsafe { self.memory.add((call << 16) + self.skew) }, size: request.min_size })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }
}

/// A region for a page has room for it wherever it starts.
#[test]
fn a_region_has_room_for_a_page_that_is_aligned() {
    for skew in (0..4096).step_by(if cfg!(miri) { 1024 } else { 128 }) {
        let source = Least { memory: memory_that_stays(4 << 16, 4096), skew, calls: AtomicUsize::new(0) };
        // SAFETY: one thread.
        let heap: Heap<_, _, Aligned> = Heap::new(source, unsafe { SingleCore::new() });
        let block = heap.allocate(layout(4096)).expect("room");
        assert!(block.addr().get().is_multiple_of(4096) && heap.source.calls.load(Ordering::Relaxed) <= 2, "{skew}");
    }
}

/// Has nothing; notes the least that it was asked for.
struct Nothing {
    least: AtomicUsize,
}

// SAFETY: hands out nothing.
unsafe impl PageSource for Nothing {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.least.fetch_min(request.min_size, Ordering::Relaxed);
        None
    }
}

crate::geometry! {
    /// Arenas of half an OS page.
    struct Small {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 2048, magazine_slots: 6,
        magazine_bytes: 1024, page_words: 128 / usize::BITS as usize, pages_per_group: 8, listed_words: 1, arena_map: 4, grow_size: 4096,
    }
}

/// A region without room for that may do as well, if it starts well: up to the alignment that regions have, or 4 KiB.
#[test]
fn a_region_that_starts_well_is_asked_for_up_to_its_alignment() {
    fn least<G: Geometry>(align: usize) -> usize {
        // SAFETY: one thread.
        let heap: Heap<_, _, G> = Heap::new(Nothing { least: AtomicUsize::new(usize::MAX) }, unsafe { SingleCore::new() });
        assert!(heap.allocate(Layout::from_size_align(128, align).unwrap()).is_none());
        heap.source.least.load(Ordering::Relaxed)
    }
    assert!(least::<Small>(2048) < 2048 && least::<Small>(4096) < 4096);
    assert!(least::<Small>(8192) >= 8192);
    let most = Paged::ARENA_SIZE;
    assert!(least::<Paged>(most) < 4096 && least::<Paged>(2 * most) >= 2 * most);
}
