pub(crate) mod scripted;

use core::cell::Cell;
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::base::sync::Ordering;
use crate::cores::core_heap::CoreHeap;
use crate::cores::core_local::SingleCore;
use crate::pages::slices::run_for;
use crate::source::page_source::tests::memory_that_stays;
use scripted::*;

/// Searches in vain; how often.
fn searches<C: CoreLocal>(heap: &Heap<Counting, C, Paged>, least: usize, before: Known, each: impl Fn(usize)) -> usize {
    let count = Cell::new(0);
    let found = heap.search_everywhere(least, before, || {
        count.set(count.get() + 1);
        each(count.get());
        None::<()>
    });
    assert!(found.is_none());
    count.get()
}

#[test]
fn what_is_found_ends_the_search() {
    let (heap, _) = heap();
    let tries = Cell::new(0);
    let found = heap.search_everywhere(1, heap.knows(), || {
        tries.set(tries.get() + 1);
        (tries.get() == 2).then_some(7)
    });
    assert_eq!((found, tries.get()), (Some(7), 2));
    assert!(heap.arenas.is_short(), "from now on contexts say what they have in hand");
}

/// The search itself may be the first whom the source refuses to commit memory: of two holes the first one has none.
#[test]
fn memory_is_given_back_for_a_search_that_is_refused_some() {
    for is_told in [false, true] {
        let (heap, _) = heap();
        let slices = heap.arenas.iter().next().unwrap().slices();
        let claim = |count| slices.claim(&heap.source, count, 512).expect("room").run;
        let (first, _between, second) = (claim(2), claim(4), claim(2));
        leave(&heap, 0);
        slices.release(first);
        heap.purge_slices(false, usize::MAX);
        slices.release(second);
        heap.source.refuses.store(true, Ordering::Relaxed);
        heap.source.relents.store(true, Ordering::Relaxed);
        if is_told {
            heap.arenas.note_shortage();
        }
        assert!(heap.allocate(layout(256)).is_some());
        assert_eq!(heap.cores.waits(), 0, "nobody has anything");
    }
}

/// Where the source commits no more, what it gets back may serve a request for which no arena has room. Else it gets nothing back.
#[test]
fn a_search_gives_memory_back_only_where_the_source_commits_no_more() {
    let (heap, _) = heap();
    let idle = heap.allocate(layout(2000)).expect("room");
    // SAFETY: a live block of this layout.
    unsafe { heap.deallocate(idle, layout(2000)) };
    heap.arenas.note_shortage();
    assert!(searches(&heap, 1, heap.knows(), |_| ()) > 0);
    assert_eq!(heap.source.decommits.load(Ordering::Relaxed), 0);
    let before = heap.knows();
    heap.arenas.note_refusal();
    assert_eq!(searches(&heap, usize::MAX, before, |_| ()), 2, "memory was moved");
    assert!(heap.source.decommits.load(Ordering::Relaxed) > 0);
    let before = heap.knows();
    heap.arenas.note_refusal();
    assert_eq!(searches(&heap, usize::MAX, before, |_| ()), 1);
}

/// Nobody else can have anything: one search, and no word of it.
#[test]
fn one_context_searches_once() {
    let memory = memory_that_stays(SIZE, 4096);
    // SAFETY: one thread.
    let heap: Heap<_, _, Paged> = Heap::new(source_of(memory, SIZE), unsafe { SingleCore::new() });
    assert!(heap.allocate(layout(100)).is_some());
    assert_eq!(searches(&heap, 1, heap.knows(), |_| ()), 1);
    let hand = heap.hand();
    assert!(heap.arenas.is_short() && heap.cores.slot(0).in_hand().is_empty());
    drop(hand);
}

/// A claim for nothing may have hidden free slices. A search's own count as well, so it ends all the same.
#[test]
fn a_search_goes_on_after_claims_for_nothing() {
    let (heap, _) = heap_without_core_heaps();
    heap.arenas.note_shortage();
    let undo = || heap.arenas.iter().next().unwrap().slices().undone().note();
    let once = |tries| {
        if tries == 1 {
            undo()
        }
    };
    assert_eq!(searches(&heap, 1, heap.knows(), once), 2);
    assert_eq!(searches(&heap, 1, heap.knows(), |_| undo()), UNDONE_ROUNDS + 1);
}

/// Once more after contexts that did not know were waited for; at once if all knew.
#[test]
fn a_search_ends_where_nothing_moves() {
    let (heap, _) = heap();
    assert!(!heap.arenas.is_short());
    assert_eq!((searches(&heap, 1, heap.knows(), |_| ()), heap.cores.waits()), (2, GRACE));
    assert_eq!((searches(&heap, 1, heap.knows(), |_| ()), heap.cores.waits()), (1, 0));
    let count = heap.arenas.iter().next().unwrap().slices().count();
    assert_eq!((searches(&heap, count + 1, heap.knows(), |_| ()), searches(&heap, usize::MAX, heap.knows(), |_| ())), (0, 0));
    // A heap that has nothing has nothing to search.
    let empty: Box<TwoCores> = Box::new(Heap::new(source_of(NonNull::dangling(), 0), cores()));
    empty.source.regions.store(0, Ordering::Relaxed);
    assert_eq!(searches(&empty, 0, empty.knows(), |_| ()), 0);
    assert!(empty.allocate(layout(8)).is_none());
}

/// Memory moved meanwhile: it may lie where nobody looked. But not for ever.
#[test]
fn a_search_goes_on_while_memory_moves() {
    let (heap, _) = heap_without_core_heaps();
    heap.arenas.note_shortage();
    let moves = |core: usize| {
        let mut hand = Hand::new(Some(heap.cores.slot(core).in_hand()));
        hand.moves();
    };
    assert_eq!(
        searches(&heap, 1, heap.knows(), |count| if count < 5 {
            moves(count % 2)
        }),
        5
    );
    assert_eq!(searches(&heap, 1, heap.knows(), |_| moves(1)), ROUNDS);
    // Who took something in hand and gave nothing back has moved nothing.
    assert_eq!(searches(&heap, 1, heap.knows(), |_| drop(Hand::new(Some(heap.cores.slot(1).in_hand())))), 1);
}

/// Who has memory in hand is waited for, a bounded time, and never again.
#[test]
fn a_search_waits_for_hands() {
    for core in [0, 1] {
        let (heap, _) = heap_without_core_heaps();
        heap.arenas.note_shortage();
        heap.cores.patience.store(20, Ordering::Relaxed);
        let hand = Hand::new(Some(heap.cores.slot(core).in_hand()));
        let search = || (searches(&heap, 1, heap.knows(), |_| ()), heap.cores.waits());
        assert_eq!(search(), (1, 20));
        assert_eq!(search(), (1, 0), "forgotten");
        drop(hand);
        assert!(heap.cores.slot(core).in_hand().is_empty());
    }
}

/// Magazines that were busy throughout may have what is searched.
#[test]
fn a_search_waits_for_busy_magazines() {
    let (heap, _) = heap();
    heap.arenas.note_shortage();
    heap.cores.patience.store(6, Ordering::Relaxed);
    heap.cores.is_busy.store(true, Ordering::Relaxed);
    let free_after = |limit: usize| {
        let is_busy = &heap.cores.is_busy;
        move |count: usize| is_busy.store(count < limit, Ordering::Relaxed)
    };
    assert_eq!((searches(&heap, 1, heap.knows(), free_after(3)), heap.cores.waits()), (5, 3), "the last one found nothing moved");
    assert!(!heap.cores.slot(0).is_lost());
    heap.cores.is_busy.store(true, Ordering::Relaxed);
    assert_eq!((searches(&heap, 1, heap.knows(), |_| ()), heap.cores.waits()), (6, 6));
    assert!(heap.cores.slot(0).is_lost(), "who has them is gone");
    assert_eq!((searches(&heap, 1, heap.knows(), |_| ()), heap.cores.waits()), (1, 0));
}

/// A hand is shown from when memory was short.
#[test]
fn a_hand_is_shown_while_memory_is_short() {
    let (heap, _) = heap();
    let is_empty = |core: usize| heap.cores.slot(core).in_hand().is_empty();
    let hand = heap.hand();
    assert!(is_empty(0));
    drop(hand);
    heap.arenas.note_shortage();
    heap.cores.core.store(1, Ordering::Relaxed);
    let hand = heap.hand();
    assert!(is_empty(0) && !is_empty(1));
    drop(hand);
    assert!(is_empty(1));
}

/// A source that commits no more may do so for what it gets back.
#[test]
fn what_is_not_committed_is_given_back_first() {
    let (heap, block) = heap();
    let idle = heap.allocate(layout(2000)).expect("room");
    // SAFETY: live blocks of these layouts.
    unsafe { heap.deallocate(idle, layout(2000)) };
    assert_eq!(heap.source.decommits.load(Ordering::Relaxed), 0);
    heap.source.refuses.store(true, Ordering::Relaxed);
    assert!(heap.allocate(layout(6000)).is_none());
    assert!(heap.source.decommits.load(Ordering::Relaxed) > 0);
    assert_eq!(heap.source.reserves.load(Ordering::Relaxed), 1, "and more of what is not committed is of no use");
    heap.source.refuses.store(false, Ordering::Relaxed);
    assert!(heap.allocate(layout(6000)).is_some());
    // SAFETY: as above.
    unsafe { heap.deallocate(block, layout(100)) };
    heap.assert_valid();
}

/// Blocks in a page that another context holds for a moment.
#[test]
fn the_last_blocks_are_found_whoever_holds_their_page() {
    // Few of them are a page.
    const SIZE: usize = 256;
    let (heap, _) = heap();
    let block = heap.allocate(layout(SIZE)).expect("room");
    leave(&heap, 0);
    heap.reclaim();
    let class = Paged::class_of(SIZE, 1).unwrap();
    let arena = heap.arenas.iter().next().unwrap();
    let page = arena.table().hold_listed(class).expect("it has free blocks");
    let free = page.free_count();
    assert!(free > 1 && page.free_count() == page.block_count() - 1);
    heap.cores.core.store(1, Ordering::Relaxed);
    let others: Vec<_> = core::iter::from_fn(|| heap.allocate(layout(SIZE))).collect();
    assert_eq!((others.len(), page.free_count()), (free, 0));
    assert!(others.iter().all(|other| heap.page_of(other.addr().get()).is_some_and(|other| core::ptr::eq(other, page))));
    heap.let_go(page);
    for other in others.into_iter().chain([block]) {
        // SAFETY: a live block of this layout.
        unsafe { heap.deallocate(other, layout(SIZE)) };
    }
    heap.reclaim();
    assert_eq!(heap.stats().used, Paged::class_of(100, 1).unwrap().block_size());
}

/// A page of one block is better than none, where there is no room for a longer one; but not before.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_short_page_is_made_where_memory_is_short() {
    for (size, least) in [(8, 1), (256, 2), (512, 4)] {
        let (heap, _) = heap();
        leave(&heap, 1);
        let is_served = heap.allocate(layout(size)).is_some();
        assert_eq!(is_served, least == 1, "{size} bytes");
        let (heap, _) = self::heap();
        leave(&heap, least);
        let block = heap.allocate(layout(size)).expect("just enough");
        assert_eq!(heap.page_of(block.addr().get()).map(|page| page.slice_count()), Some(least));
        let (heap, _) = self::heap();
        let block = heap.allocate(layout(size)).expect("room");
        assert!(heap.page_of(block.addr().get()).is_some_and(|page| page.slice_count() >= 7));
    }
}

/// A core that only frees has no core heap made for it by more memory from the source.
#[test]
fn a_free_asks_for_no_memory() {
    let (heap, block) = heap();
    leave(&heap, 0);
    heap.cores.core.store(1, Ordering::Relaxed);
    let before = heap.source.reserves.load(Ordering::Relaxed);
    // SAFETY: a live block of this layout.
    unsafe { heap.deallocate(block, layout(100)) };
    assert_eq!(heap.source.reserves.load(Ordering::Relaxed), before);
    assert_eq!(heap.stats().used, 0);
}

/// What the magazine does not take goes back to its page.
#[test]
fn a_refill_beside_others_loses_no_block() {
    let (heap, block) = heap();
    let page = heap.page_of(block.addr().get()).expect("its page");
    heap.reclaim();
    heap.cores.is_busy.store(true, Ordering::Relaxed);
    assert_eq!(page.free_count(), page.block_count() - 1);
    let other = heap.allocate(layout(100)).expect("room");
    assert_eq!(page.free_count(), page.block_count() - 2);
    heap.cores.is_busy.store(false, Ordering::Relaxed);
    for block in [block, other] {
        // SAFETY: a live block of this layout.
        unsafe { heap.deallocate(block, layout(100)) };
    }
    heap.reclaim();
    assert_eq!(heap.stats().used, 0);
}

/// Core heaps take an eighth of little memory at most: cores beyond that go without.
#[test]
fn core_heaps_are_a_small_part_of_the_memory() {
    let each = run_for::<Counting, Paged>(size_of::<CoreHeap<Paged>>());
    let mut counts = Vec::new();
    for size in (6 << 10..SIZE).step_by(if cfg!(miri) { 20 << 10 } else { 512 }) {
        let heap: TwoCores = Heap::new(source_of(memory_that_stays(SIZE, 4096), size), cores());
        for core in [1, 0, 1] {
            heap.cores.core.store(core, Ordering::Relaxed);
            assert!(heap.allocate(layout(100)).is_some());
        }
        let slices: usize = heap.arenas.iter().map(|arena| arena.slices().count()).sum();
        // SAFETY: the heap's geometry.
        let made = (0..2).filter(|core| unsafe { heap.cores.slot(*core).heap::<Paged>() }.is_some()).count();
        assert_eq!(made, (slices / 8 / each).min(2), "of {each} slices, in {slices}");
        counts.push(made);
    }
    assert!((0..=2).all(|made| counts.contains(&made)));
}
