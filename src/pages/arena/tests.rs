use std::thread;

use super::*;
use crate::pages::geometry::Tiny;
use crate::source::page_source::RegionRequest;

const SIZE: usize = 16 * 1024;
const FIRST: usize = 4096;

/// Memory that can grow, and what it was asked for.
struct Growing {
    memory: NonNull<u8>,
    calls: AtomicUsize,
    /// The least and the best that it was asked for last.
    least: AtomicUsize,
    best: AtomicUsize,
    inside: AtomicUsize,
    faults: AtomicUsize,
}

// SAFETY: a region that goes out once.
unsafe impl Sync for Growing {}

// SAFETY: as above.
unsafe impl PageSource for Growing {
    const GROWS: bool = true;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        let is_alone = self.inside.fetch_add(1, Ordering::AcqRel) == 0;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.least.store(min_size, Ordering::Relaxed);
        self.best.store(preferred_size, Ordering::Relaxed);
        thread::yield_now();
        let is_right = is_alone && min_size > 0 && min_size <= preferred_size && region.size + min_size <= SIZE;
        self.faults.fetch_add((!is_right).into(), Ordering::Relaxed);
        self.inside.fetch_sub(1, Ordering::AcqRel);
        if is_right { min_size } else { 0 }
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }
}

/// Frees the large block that starts there; false if none does.
fn free_large<G: Geometry>(arena: &Arena<G>, source: &impl PageSource, page: &Page<G>, start: usize) -> bool {
    page.claim_large(start) && {
        arena.return_large(source, page);
        true
    }
}

fn arena_of(memory: &mut [u64]) -> (Growing, &Arena<Tiny>) {
    arena_of_size(memory, FIRST)
}

fn arena_of_size(memory: &mut [u64], size: usize) -> (Growing, &Arena<Tiny>) {
    let memory = NonNull::from(memory).cast::<u8>();
    let [calls, least, best, inside, faults] = [const { AtomicUsize::new(0) }; 5];
    let source = Growing { memory, calls, least, best, inside, faults };
    let region = Region { start: memory, size };
    let (arena, _) = Arena::create(&source, region, 0).expect("room for the tables");
    (source, arena)
}

/// As contexts share the arenas of a heap.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a Arena<Tiny>);

impl<'a> Shared<'a> {
    fn arena(self) -> &'a Arena<Tiny> {
        self.0
    }
}

// SAFETY: all of an arena that changes is atomic.
unsafe impl Sync for Shared<'_> {}

/// Several contexts want more at once: one asks the source at a time, and nobody for more than the tables have room for.
#[test]
fn a_region_grows_up_to_its_tables_whoever_asks() {
    for _ in 0..if cfg!(miri) { 1 } else { 300 } {
        let mut memory = std::vec![0_u64; SIZE / 8];
        let (source, arena) = arena_of(&mut memory);
        let shared = Shared(arena);
        let grow_all = || {
            let arena = shared.arena();
            while arena.slices().count() < arena.slices().capacity() {
                if !arena.grow(&source, 1) {
                    thread::yield_now();
                }
            }
        };
        thread::scope(|scope| (0..3).for_each(|_| _ = scope.spawn(grow_all)));
        assert!(!arena.grow(&source, 1), "the tables are full");
        assert!(source.calls.into_inner() >= 10);
        assert_eq!(source.faults.into_inner(), 0, "two at once, or more than there is room for");
        arena.assert_valid();
    }
}

/// At least what is missing, at best a step, but never more than the tables have room for. A part of a slice at the end is made whole.
#[test]
fn a_region_grows_by_steps() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (_, arena) = arena_of(&mut memory);
    // One byte is missing in the last slice.
    let size = arena.front_bytes() + 20 * Tiny::SLICE_SIZE - 1;
    let (source, arena) = arena_of_size(&mut memory, size);
    let asked = || [&source.least, &source.best].map(|bytes| bytes.load(Ordering::Relaxed));
    let slices = || (arena.slices().count(), (arena.region().size - arena.front_bytes()) / Tiny::SLICE_SIZE);
    assert_eq!(slices(), (19, 19));
    assert!(arena.grow(&source, 1));
    assert_eq!((asked(), arena.region().size, slices()), ([1, Tiny::GROW_SIZE], size + 1, (20, 20)));
    assert!(arena.grow(&source, 40));
    assert_eq!((asked(), slices()), ([40 * Tiny::SLICE_SIZE; 2], (60, 60)));
    let left = arena.slices().capacity() - 60;
    assert!(left > 10 && arena.grow(&source, left - 10) && arena.grow(&source, 1));
    assert_eq!(asked(), [Tiny::SLICE_SIZE, 10 * Tiny::SLICE_SIZE]);
    assert_eq!(slices(), (60 + left - 9, 60 + left - 9));
    arena.assert_valid();
}

/// Slices that a page had can be had again, and lead nowhere before.
#[test]
fn what_is_retired_is_no_page_any_more() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let class = SizeClass::from_index(3);
    let page = arena.fresh_page(&source, class, 2).expect("room");
    let start = page.start();
    let slice = arena.slices().index_of(start).expect("its own slice");
    assert_eq!((arena.class_of(start), arena.class_of(start + 255)), (Some(class), Some(class)));
    assert!(arena.retire(page));
    assert!((slice..slice + 2).all(|slice| arena.table().page_at(slice).is_none() && arena.table().class_at(slice).is_none()));
    let (block, _) = arena.claim_large(&source, 2, 1).expect("the same slices");
    assert_eq!(block, start);
    assert!(arena.page_of(start).is_some_and(Page::is_large) && arena.page_of(start + 128).is_none());
    let page = arena.page_of(start).expect("its header");
    assert!(!free_large(arena, &source, page, start + 128) && free_large(arena, &source, page, start));
    assert!(arena.page_of(start).is_none());
    arena.assert_valid();
}

/// A request that is refused leaves nothing behind: neither headers nor slices.
#[test]
fn a_refused_run_leaves_nothing_behind() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let count = arena.slices().count();
    let state = || (arena.metadata_bytes(), arena.slices().free().count(), arena.table().groups().count());
    let before = state();
    assert_eq!(before.2, 0);
    for slice_count in [count + 1, usize::MAX] {
        assert!(arena.claim_large(&source, slice_count, 1).is_none());
        assert_eq!(arena.slices().undone().count(), 0, "nothing is claimed for what cannot be");
    }
    for slice_count in [count - 1, count, count + 1, usize::MAX] {
        assert!(arena.claim_large(&source, slice_count, 1).is_none(), "{slice_count} of {count} slices and headers");
        assert_eq!(state(), before);
    }
    assert!(arena.fresh_page(&source, SizeClass::from_index(0), count).is_none());
    assert_eq!(state(), before);
    arena.assert_valid();
}

/// What pages and metadata take can be free some time, what large blocks take cannot.
#[test]
fn all_but_large_blocks_could_be_free() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let count = arena.slices().count();
    let most = |slices: usize| arena.could_free(slices) && !arena.could_free(slices + 1) && !arena.could_free(usize::MAX);
    assert!(most(count));
    let page = arena.fresh_page(&source, SizeClass::from_index(0), 2).expect("room");
    assert!(arena.metadata_bytes() > arena.front_bytes() && most(count));
    let (large, _) = arena.claim_large(&source, 3, 1).expect("room");
    assert!(most(count - 3));
    assert!(arena.retire(page) && most(count - 3));
    assert!(free_large(arena, &source, arena.page_of(large).expect("its header"), large) && most(count));
}

/// In place: up to the next slice that somebody has, at the end of the region up to where that can grow.
#[test]
fn a_large_block_is_resized_where_it_lies() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let claim = |slices: usize| {
        let (start, _) = arena.claim_large(&source, slices, 1).expect("room");
        (arena.page_of(start).expect("its header"), start)
    };
    let free = || arena.slices().free().count();
    let resize = |page: &Page<Tiny>, slices: usize| {
        let (before, is_resized) = (page.slice_count(), arena.resize_large(&source, page, slices));
        assert_eq!(page.slice_count(), if is_resized { slices } else { before });
        arena.assert_valid();
        is_resized
    };
    let (low, low_start) = claim(4);
    let (high, high_start) = claim(4);
    assert_eq!(high_start, low_start + 4 * Tiny::SLICE_SIZE);
    let before = free();
    assert!(!resize(low, 5) && free() == before);
    assert!(resize(low, 2) && free() == before + 2);
    assert!(!resize(low, 5) && resize(low, 4) && free() == before && !resize(low, 5));
    assert!(free_large(arena, &source, high, high_start) && free() == before + 4);
    assert!(resize(low, 8) && free() == before && resize(low, 7) && resize(low, 1) && resize(low, 8));
    // The free slices behind it, and what the region can grow by, but no more.
    let calls = || source.calls.load(Ordering::Relaxed);
    let first = arena.slices().index_of(low_start).expect("a slice");
    let (count, capacity) = (arena.slices().count(), arena.slices().capacity());
    let behind = arena.slices().free().run_at(first + 8, count);
    assert!(resize(low, 8 + behind) && calls() == 0);
    if first + 8 + behind == count {
        assert!(resize(low, 8 + behind + 1) && calls() == 1 && arena.slices().count() > count);
        assert!(resize(low, capacity - first));
        let last = calls();
        assert!(!resize(low, capacity - first + 1) && calls() == last, "the tables are full");
    }
    assert!(free_large(arena, &source, low, low_start));
    arena.assert_valid();
}

/// A block behind it is in the way: more memory at the end would be of no use.
#[test]
fn no_memory_is_asked_for_behind_another_block() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let page = |start: usize| arena.page_of(start).expect("its header");
    let claim = |slices: usize| arena.claim_large(&source, slices, 1).expect("room").0;
    let (low, single, next) = (claim(2), claim(1), claim(1));
    assert_eq!((single, next), (low + 2 * Tiny::SLICE_SIZE, low + 3 * Tiny::SLICE_SIZE));
    let first = arena.slices().index_of(low).expect("a slice");
    assert!(!arena.resize_large(&source, page(low), arena.slices().count() - first + 1));
    assert_eq!(source.calls.load(Ordering::Relaxed), 0);
    // One that goes leads to its neighbour as little as before.
    assert!(free_large(arena, &source, page(single), single));
    assert!(arena.page_of(single).is_none() && page(next).is_large());
    arena.assert_valid();
}

/// A page begins where its blocks are aligned by nature.
#[test]
fn a_page_is_aligned_for_its_blocks() {
    let mut memory = std::vec![0_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let sizes = [512, 384, 256].map(|size| Tiny::class_of(size, 1).expect("a class"));
    for class in sizes {
        assert!(arena.claim_large(&source, 1, 1).is_some());
        let page = arena.fresh_page(&source, class, 4).expect("room");
        assert!(page.start().is_multiple_of(1 << class.block_size().trailing_zeros()), "{class:?}");
    }
}

/// Metadata is zero, whatever lay there, and can be given back.
#[test]
fn metadata_is_zero_and_counts_while_it_is_out() {
    let mut memory = std::vec![0xa5a5_a5a5_a5a5_a5a5_u64; SIZE / 8];
    let (source, arena) = arena_of(&mut memory);
    let (free, bytes) = (arena.slices().free().count(), arena.metadata_bytes());
    let metadata = arena.claim_metadata::<Growing, [u8; 130]>(&source).expect("room");
    // SAFETY: the caller's, and initialised.
    assert!(unsafe { metadata.as_ref() }.iter().all(|byte| *byte == 0));
    assert_eq!((arena.slices().free().count(), arena.metadata_bytes()), (free - 2, bytes + 2 * Tiny::SLICE_SIZE));
    arena.return_metadata::<Growing, _>(metadata);
    assert_eq!((arena.slices().free().count(), arena.metadata_bytes()), (free, bytes));
    assert_eq!(arena.slices().undone().count(), 1, "others may have missed it");
    // Also behind others.
    let [_first, second] = [(); 2].map(|()| arena.claim_metadata::<Growing, [u8; 130]>(&source).expect("room"));
    arena.return_metadata::<Growing, _>(second);
    assert_eq!(arena.slices().free().count(), free - 2);
    arena.assert_valid();
}

crate::geometry! {
    /// One header at a time, and few of them.
    struct Few {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 16 * 1024, magazine_slots: 0,
        pages_per_group: 1, listed_words: 1, fit_candidates: 1,
    }
}

/// Where there are more slices than numbers of headers, a request that finds none leaves nothing behind.
#[test]
#[cfg_attr(miri, ignore = "long")]
fn headers_run_out() {
    let mut memory = std::vec![0_u64; (1 << 20) / 8];
    let (source, _) = arena_of(&mut memory);
    let region = Region { start: source.memory, size: 1 << 20 };
    let (arena, _) = Arena::<Few>::create(&source, region, 0).expect("room for the tables");
    let blocks: std::vec::Vec<_> = core::iter::from_fn(|| arena.claim_large(&source, 1, 1)).collect();
    assert_eq!(blocks.len(), (1 << 16) / crate::base::sync::WORD_BITS - 1);
    let state = || (arena.slices().free().count(), arena.metadata_bytes());
    let (before, undone) = (state(), arena.slices().undone().count());
    assert!(before.0 > 100);
    assert!(arena.claim_large(&source, 1, 1).is_none() && arena.slices().undone().count() >= undone + 2);
    assert_eq!(state(), before);
    let (last, _) = blocks[blocks.len() - 1];
    assert!(free_large(arena, &source, arena.page_of(last).expect("its header"), last));
    assert!(arena.claim_large(&source, 1, 1).is_some());
    assert_eq!(state(), before);
    arena.assert_valid();
}
