use core::alloc::Layout;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::Mutex;
use std::vec::Vec;

use super::*;
use crate::base::block::Block;
use crate::base::sync::AtomicUsize;
use crate::cores::beside::{Beside, ContextNumber};
use crate::cores::core_local::SingleCore;
use crate::heap::shortage::tests::scripted::{self, TwoCores};
use crate::pages::geometry::Compact;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::{Region, RegionRequest};
use crate::source::sources::FixedRegion;

crate::geometry! {
    /// Pages of 1 KiB, of two words of the smallest blocks.
    struct Paged {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 16 * 1024, magazine_slots: 6,
        magazine_bytes: 1024, page_words: 128 / usize::BITS as usize, pages_per_group: 8, listed_words: 1, arena_map: 4, grow_size: 4096,
    }
}

crate::geometry! {
    /// The same pages, with fewer classes and shorter magazines, where a test takes many blocks.
    struct Short {
        slice_size: 128, max_block: 128, page_size: 1024, arena_size: 16 * 1024, magazine_slots: 2,
        page_words: 128 / usize::BITS as usize, pages_per_group: 8, listed_words: 1, arena_map: 4, grow_size: 4096,
    }
}

const SLICE: usize = Paged::SLICE_SIZE;
/// As much as is asked for, so that memory is not short from the beginning.
const SIZE: usize = Paged::ARENA_SIZE;

const DECOMMITS: u32 = 1;
const DISCARDS: u32 = 2;

/// One region, and a clock; notes what it is told to give up, as offset and length.
struct Clocked<const ABILITIES: u32> {
    memory: NonNull<u8>,
    reserved: AtomicUsize,
    now: AtomicUsize,
    /// How often somebody looked at the clock.
    looks: AtomicUsize,
    given_up: Mutex<Vec<(usize, usize)>>,
}

// SAFETY: the region goes out once.
unsafe impl<const ABILITIES: u32> Sync for Clocked<ABILITIES> {}

impl<const ABILITIES: u32> Clocked<ABILITIES> {
    fn note(&self, start: NonNull<u8>, size: usize) -> bool {
        self.given_up.lock().unwrap().push((start.addr().get(), size));
        true
    }

    /// What was given up since the last time, counted from `start`.
    fn take(&self, start: usize) -> Vec<(usize, usize)> {
        let taken = core::mem::take(&mut *self.given_up.lock().unwrap());
        taken.into_iter().map(|(address, size)| (address.wrapping_sub(start), size)).collect()
    }
}

// SAFETY: the region goes out once.
unsafe impl<const ABILITIES: u32> PageSource for Clocked<ABILITIES> {
    const DECOMMITS: bool = ABILITIES & DECOMMITS != 0;
    const DISCARDS: bool = ABILITIES & DISCARDS != 0;
    const OS_PAGE_SIZE: usize = SLICE;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        (self.reserved.fetch_add(1, Ordering::Relaxed) == 0).then_some(Region { start: self.memory, size: SIZE })
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(start, size)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(start, size)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }

    fn now_ms(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.now.load(Ordering::Relaxed) as u64
    }
}

type OneCore<const ABILITIES: u32> = Heap<Clocked<ABILITIES>, SingleCore, Paged>;

fn source<const ABILITIES: u32>() -> Clocked<ABILITIES> {
    let memory = memory_that_stays(SIZE, 4096);
    let (reserved, now, looks) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    Clocked { memory, reserved, now, looks, given_up: Mutex::default() }
}

fn heap<const ABILITIES: u32>() -> OneCore<ABILITIES> {
    // SAFETY: each test has one thread.
    Heap::new(source(), unsafe { SingleCore::new() })
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

impl<const ABILITIES: u32, G: Geometry> Heap<Clocked<ABILITIES>, SingleCore, G> {
    fn take_block(&self, size: usize) -> NonNull<u8> {
        self.allocate(layout(size)).expect("room")
    }

    fn give_block(&self, block: NonNull<u8>, size: usize) {
        // SAFETY: a live block of this size.
        unsafe { self.deallocate(block, layout(size)) };
    }
}

/// OS pages on which only free blocks lie, whole ones, across words, and no others.
#[test]
fn os_pages_between_live_blocks_are_discarded() {
    // SAFETY: one thread.
    let heap: Heap<_, _, Short> = Heap::new(source::<DISCARDS>(), unsafe { SingleCore::new() });
    let mut blocks: Vec<_> = (0..128).map(|_| heap.take_block(8)).collect();
    blocks.sort();
    let start = blocks[0].addr().get();
    assert_eq!(blocks[127].addr().get() - start, 127 * 8, "a page, and all of its blocks");
    let purge = || {
        heap.purge();
        heap.assert_valid();
        heap.source.take(start)
    };
    // As a flush gives them back.
    let free = |range: core::ops::Range<usize>| {
        let mut given = Blocks::new();
        // SAFETY: live blocks, which are given up.
        blocks[range].iter().for_each(|block| given.add(unsafe { Block::from_address(block.addr()) }));
        heap.give_to_pages(Short::class_of(8, 1).unwrap(), &mut given);
    };
    let again = |range: core::ops::Range<usize>| {
        let mut taken: Vec<_> = range.clone().map(|_| heap.take_block(8)).collect();
        taken.sort();
        assert_eq!(taken, blocks[range], "free blocks are free still");
    };
    assert_eq!(purge(), []);
    // 16 blocks are an OS page.
    free(16..31);
    assert_eq!(purge(), []);
    free(31..32);
    assert_eq!(purge(), [(128, 128)]);
    again(16..32);
    free(8..24);
    assert_eq!(purge(), [], "as many, on two OS pages");
    free(24..33);
    assert_eq!(purge(), [(128, 128)]);
    again(8..33);
    free(48..72);
    assert_eq!(purge(), [(384, 128)]);
    free(72..80);
    free(112..128);
    free(1..16);
    assert_eq!(purge(), [(384, 256), (896, 128)]);
    free(0..1);
    assert_eq!(purge(), [(0, 128), (384, 256), (896, 128)]);
    for (range, pages) in [(16..48, 2), (80..112, 0)] {
        // The last one stays in its magazine until the purge.
        free(range.start..range.end - 1);
        heap.give_block(blocks[range.end - 1], 8);
        assert_eq!(heap.stats().classes().count(), 1);
        assert_eq!(purge().len(), pages, "an empty page is no page, and free slices are not discarded");
    }
    assert_eq!(heap.stats().classes().count(), 0);
}

/// A block that is an OS page itself.
#[test]
fn a_block_of_exactly_one_os_page_is_discarded() {
    let heap = heap::<DISCARDS>();
    let blocks: Vec<_> = (0..8).map(|_| heap.take_block(128)).collect();
    heap.purge();
    assert!(heap.source.take(0).is_empty());
    heap.give_block(blocks[3], 128);
    heap.purge();
    assert_eq!(heap.source.take(blocks[3].addr().get()), [(0, 128)]);
    // A source that cannot is not asked to.
    let heap = self::heap::<DECOMMITS>();
    let [_stays, block] = [(); 2].map(|()| heap.take_block(128));
    heap.purge();
    heap.source.take(0);
    heap.give_block(block, 128);
    heap.purge();
    assert!(heap.source.take(0).is_empty());
}

/// From magazines to pages, from pages to slices, from slices to the source.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_purge_leaves_nothing_that_no_program_holds() {
    let heap = heap::<DECOMMITS>();
    heap.give_block(heap.take_block(8), 8);
    heap.purge();
    let free_slices = |heap: &OneCore<DECOMMITS>| heap.arenas.iter().map(|arena| arena.slices().free().count()).sum::<usize>();
    let (free, live) = (free_slices(&heap), heap.take_block(300));
    let blocks: Vec<_> = (0..120).map(|index| (heap.take_block(8 + index % 3 * 20), 8 + index % 3 * 20)).collect();
    blocks.into_iter().for_each(|(block, size)| heap.give_block(block, size));
    let stats = heap.stats();
    assert_eq!((stats.used, stats.classes().map(|class| class.in_magazines).sum::<usize>() > 3), (320, true));
    assert!(stats.classes().all(|class| class.in_magazines <= 6));
    heap.source.take(0);
    let bytes = heap.purge();
    assert_eq!(bytes, heap.source.take(0).iter().map(|(_, size)| size).sum::<usize>());
    assert!(bytes > 0 && heap.purge() == 0);
    assert_eq!((heap.stats().classes().count(), heap.stats().used), (1, 320));
    assert!(heap.stats().classes().all(|class| (class.used, class.in_magazines) == (1, 0)));
    heap.give_block(live, 300);
    assert!(heap.purge() > 0);
    assert_eq!((free_slices(&heap), heap.stats().used), (free, 0));
    let committed = heap.stats().committed;
    assert_eq!(committed, heap.stats().metadata, "only metadata is left");
    heap.assert_valid();
}

/// The clock decides: at the moment it is due, not before, and not once more before the next time.
#[test]
fn idle_memory_goes_back_when_its_time_has_come() {
    for first in [1, 77, isize::MAX as usize + 5, usize::MAX - 100] {
        let heap = heap::<DECOMMITS>();
        let [_before, idle, _behind] = [(); 3].map(|()| heap.take_block(1024));
        heap.give_block(idle, 1024);
        // Does not fit where the idle one was.
        let at = |now: usize| {
            heap.source.now.store(now, Ordering::Relaxed);
            heap.give_block(heap.take_block(2048), 2048);
            heap.source.take(idle.addr().get())
        };
        let after = |ms: usize| first.wrapping_add(ms);
        assert_eq!((at(0), at(0)), (std::vec![], std::vec![]), "no clock");
        assert_eq!((at(first), at(after(1)), at(after(499))), (std::vec![], std::vec![], std::vec![]), "first seen at {first}");
        assert_eq!(at(after(500)), [(0, 1024)]);
        assert_eq!(at(after(501)), [], "the rest is used");
        assert_eq!(heap.stats().misuses, 0);
    }
    let heap = heap::<0>();
    heap.give_block(heap.take_block(1024), 1024);
    assert_eq!(heap.source.looks.load(Ordering::Relaxed), 0, "the clock is of no interest where nothing goes back");
}

/// A page that goes back is such a moment too.
#[test]
fn the_clock_is_seen_when_a_page_goes_back() {
    let heap = heap::<DECOMMITS>();
    heap.give_block(heap.take_block(8), 8);
    assert_eq!(heap.source.looks.load(Ordering::Relaxed), 0);
    heap.reclaim();
    assert_eq!(heap.source.looks.load(Ordering::Relaxed), 1);
}

#[test]
fn the_peak_is_the_most_that_was_ever_used() {
    let heap = heap::<0>();
    heap.give_block(heap.take_block(8), 8);
    heap.purge();
    // A core heap stays; the page was there with it.
    let page = 1024;
    let peak = || heap.stats().peak;
    let first = peak() - page;
    assert!(first > 0 && first.is_multiple_of(SLICE));
    let [large, other] = [1280, 640].map(|size| heap.take_block(size));
    assert_eq!(peak(), first + 1920);
    heap.give_block(large, 1280);
    let again = heap.take_block(1280);
    assert_eq!(peak(), first + 1920);
    let small = heap.take_block(8);
    assert_eq!(peak(), first + 1920 + page);
    heap.give_block(small, 8);
    heap.purge();
    heap.give_block(other, 640);
    // SAFETY: a live block of this size.
    let longer = unsafe { heap.reallocate(again, layout(1280), 2560) }.expect("room");
    let moved = if longer == again { 0 } else { 1280 };
    assert_eq!(peak(), first + (1920 + page).max(2560 + moved));
    heap.give_block(longer, 2560);
    let most = heap.take_block(4096);
    assert_eq!(peak(), first + 4096);
    heap.give_block(most, 4096);
    assert_eq!(heap.slices_used.load(Ordering::Relaxed) * SLICE, first);
}

/// How often memory was moved meanwhile on core 0.
fn moves(heap: &TwoCores, work: impl FnOnce()) -> usize {
    let before = heap.cores.slot(0).in_hand().moves();
    work();
    assert!(heap.cores.slot(0).in_hand().is_empty());
    heap.cores.slot(0).in_hand().moves() - before
}

/// A search that finds nothing sees that somebody had free memory in hand, and looks again (I1).
#[test]
fn memory_that_is_given_back_while_it_is_short_counts() {
    let (heap, block) = scripted::heap();
    heap.arenas.note_shortage();
    // SAFETY: a live block of this size.
    let free = |block, size| unsafe { heap.deallocate(block, layout(size)) };
    let drain = || {
        // SAFETY: the heap's geometry.
        let busy = unsafe { heap.cores.alone_on_each(|core_heap| heap.drain(core_heap)) };
        assert!(busy.is_none());
    };
    assert_eq!((moves(&heap, drain), moves(&heap, drain)), (1, 0), "a magazine");
    let reclaim = || assert!(heap.reclaim().is_none());
    assert_eq!((moves(&heap, reclaim), moves(&heap, reclaim)), (1, 0), "a page that a core took its blocks from");
    free(heap.allocate(layout(2000)).expect("room"), 2000);
    let purge = || _ = heap.purge_slices(false, usize::MAX);
    assert_eq!((moves(&heap, purge), moves(&heap, purge)), (1, 0), "slices");
    let page = heap.page_of(block.addr().get()).expect("its page");
    assert_eq!(moves(&heap, || heap.discard_free(page)), 1, "blocks whose memory is discarded");
    let take = || (page.free_count() > 0).then(|| heap.allocate(layout(100)).expect("room"));
    let blocks: Vec<_> = core::iter::from_fn(take).collect();
    assert_eq!((page.free_count(), moves(&heap, || heap.discard_free(page))), (0, 0), "none is free");
    blocks.into_iter().chain([block]).for_each(|block| free(block, 100));
    heap.reclaim();
    assert_eq!(heap.stats().used, 0);
}

/// A core that has nothing to do keeps nothing for long; one that works keeps its magazines.
#[test]
fn what_idle_cores_have_ready_becomes_free() {
    let (heap, block) = scripted::heap();
    let ready = || {
        let ready =
            |core_heap: &CoreHeap<_>| core_heap.magazines().map(|(_, magazine)| magazine.addresses(false).count()).sum::<usize>();
        heap.core_heaps().map(ready).collect::<Vec<_>>()
    };
    let work = |core: usize| {
        heap.cores.core.store(core, Ordering::Relaxed);
        let blocks: Vec<_> = (0..40).map(|_| heap.allocate(layout(100)).expect("room")).collect();
        // SAFETY: live blocks of this size.
        blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(100)) });
    };
    work(1);
    work(0);
    assert!(ready().iter().all(|ready| *ready > 0));
    heap.purge_aged();
    assert!(ready().iter().all(|ready| *ready > 0), "both worked lately");
    work(0);
    heap.purge_aged();
    assert!(ready()[0] > 0 && ready()[1] == 0, "{:?}", ready());
    heap.purge_aged();
    assert_eq!(ready(), [0, 0]);
    // SAFETY: a live block.
    unsafe { heap.deallocate(block, layout(100)) };
    heap.purge_aged();
    heap.purge_aged();
    assert_eq!(heap.stats().used, 0, "nor a page");
    heap.assert_valid();
}

struct Zero;

impl ContextNumber for Zero {
    fn number() -> usize {
        0
    }

    fn raced() {}
}

/// Their count is a hint.
#[test]
fn magazines_that_are_shared_are_emptied() {
    let heap: Heap<_, _, Paged> = Heap::new(source::<0>(), Beside::<Zero, 1>::new());
    let block = heap.allocate(layout(8)).expect("room");
    heap.purge();
    // SAFETY: a live block of this size.
    unsafe { heap.deallocate(block, layout(8)) };
    assert_eq!(heap.classes_in_magazines().count(), 1);
    heap.purge();
    assert_eq!((heap.classes_in_magazines().count(), heap.stats().used), (0, 0));
}

/// A single slice counts.
#[test]
fn the_peak_counts_each_slice() {
    let heap = heap::<0>();
    for (slices, peak) in [(1, 1), (-1, 1), (1, 1), (1, 2), (-2, 2), (1, 2)] {
        heap.note_used(slices);
        assert_eq!(heap.peak_bytes(), peak * SLICE);
    }
    heap.note_used(-1);
}

/// What is wrong with a free, in a debug build by its message.
#[test]
fn a_wrong_free_is_reported_for_what_it_is() {
    let (heap, block) = scripted::heap();
    let class = |size| scripted::Paged::class_of(size, 1).unwrap();
    let large = heap.allocate(layout(2000)).expect("room").addr().get();
    let others: Vec<_> = (0..3).map(|_| heap.allocate(layout(100)).expect("room")).collect();
    let (address, in_magazine, in_page) = (block.addr().get(), others[0].addr().get(), others[1].addr().get());
    let free = |index: usize| {
        // SAFETY: a live block of this size.
        unsafe { heap.deallocate(others[index], layout(100)) };
    };
    free(1);
    heap.reclaim();
    free(0);
    let wrong = |address: usize, size: usize| {
        let before = heap.misuses.count();
        let result = catch_unwind(AssertUnwindSafe(|| heap.check_free(address, class(size))));
        let message = result.map_err(|message| *message.downcast::<String>().expect("a message"));
        assert_eq!(message.is_err(), cfg!(debug_assertions) && heap.misuses.count() > before);
        assert!(message.clone().is_ok_and(|is_right| is_right == (heap.misuses.count() == before)) || message.is_err());
        (heap.misuses.count() - before, message.err())
    };
    assert_eq!([wrong(address, 100).0, wrong(others[2].addr().get(), 100).0], [0, 0]);
    for (address, size, part) in [
        (1, 100, "not a block of this heap"),
        (address + 8, 100, "not a block of this heap"),
        (address, 200, "layout"),
        (large, 100, "layout"),
        (in_page, 100, "double free"),
        (in_magazine, 100, "double free"),
    ] {
        let (count, message) = wrong(address, size);
        assert!(count == 1 && message.is_none_or(|message| message.contains(part)), "{part}");
    }
    // A magazine that others are changing says nothing.
    heap.cores.is_busy.store(true, Ordering::Relaxed);
    assert_eq!(wrong(in_magazine, 100).0, 0);
    // Without magazines.
    let mut memory = std::vec![0_u8; 64 << 10];
    // SAFETY: it outlives the heap, which one thread uses.
    let (source, cores) = unsafe { (FixedRegion::over(memory.as_mut_ptr(), memory.len()), SingleCore::new()) };
    let heap: Heap<_, _, Compact> = Heap::new(source, cores);
    let block = heap.allocate(layout(100)).expect("room");
    assert!(heap.check_free(block.addr().get(), Compact::class_of(100, 1).unwrap()));
}
