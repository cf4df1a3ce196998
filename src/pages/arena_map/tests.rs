use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::base::sync::AtomicUsize;
use crate::pages::arenas::Arenas;
use crate::source::page_source::{PageSource, Region, RegionRequest};

crate::geometry! {
    /// A map of few entries, and arenas that can be far smaller than one of its granules.
    struct Mapped {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 64 * 1024, magazine_slots: 2,
        magazine_bytes: 64, pages_per_group: 8, listed_words: 1, arena_map: 4,
    }
}

/// Gives pieces of its memory of the least size that is asked for, or of another one.
struct Pieces {
    /// All of it, which is freed at the end.
    allocated: NonNull<[u8]>,
    memory: NonNull<u8>,
    size: usize,
    used: AtomicUsize,
    /// The sizes of the next regions, in turn; of 0 the least. Each is followed by a gap of as much as is left over of an odd number.
    sizes: &'static [usize],
    calls: AtomicUsize,
}

// SAFETY: each piece goes out once.
unsafe impl Sync for Pieces {}

impl Pieces {
    fn new(size: usize, align: usize, sizes: &'static [usize]) -> Self {
        let allocated = NonNull::from(std::vec![0_u8; size + align].leak());
        let first = allocated.cast::<u8>();
        // SAFETY: inside the memory.
        let memory = unsafe { first.add(first.addr().get().wrapping_neg() % align) };
        Pieces { allocated, memory, size, used: AtomicUsize::new(0), sizes, calls: AtomicUsize::new(0) }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // SAFETY: `new` leaked it; the arenas in it are dropped before their source.
        drop(unsafe { Box::from_raw(self.allocated.as_ptr()) });
    }
}

// SAFETY: each piece goes out once.
unsafe impl PageSource for Pieces {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let size = self.sizes[self.calls.fetch_add(1, Ordering::Relaxed) % self.sizes.len()].max(request.min_size);
        let start = self.used.fetch_add(size, Ordering::Relaxed);
        // SAFETY: inside the memory.
        (start + size <= self.size).then(|| Region { start: unsafe { self.memory.add(start) }, size })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }
}

/// Every arena is found by each of its slices, and by no other address.
#[track_caller]
fn all_are_found(arenas: &Arenas<Mapped>, memory: &Pieces) {
    let mut ranges: Vec<_> = arenas.iter().map(|arena| (arena.slices().start(), arena)).collect();
    ranges.sort_by_key(|(start, _)| *start);
    let mut before = memory.memory.addr().get();
    for (start, arena) in ranges {
        let end = start + arena.slices().count() * Mapped::SLICE_SIZE;
        for address in (start..end).step_by(Mapped::SLICE_SIZE * if cfg!(miri) { 63 } else { 1 }).chain([end - 1]) {
            assert!(arenas.of(address).is_some_and(|found| core::ptr::eq(found, arena)), "{address:#x} in {start:#x}..{end:#x}");
        }
        for address in [before, start - 1] {
            assert!(arenas.of(address).is_none(), "{address:#x} is no slice's");
        }
        before = end;
    }
    assert!(arenas.of(before).is_none() && arenas.of(0).is_none() && arenas.of(usize::MAX).is_none());
}

fn grown(source: &Pieces, count: usize) -> Arenas<Mapped> {
    let arenas = Arenas::<Mapped>::new();
    for generation in 0..count {
        assert!(arenas.grow(source, 0, generation, 8, 8), "arena {generation}");
    }
    assert_eq!(arenas.iter().count(), count);
    all_are_found(&arenas, source);
    arenas
}

#[test]
fn arenas_that_share_a_granule_are_found() {
    let count = if cfg!(miri) { 9 } else { 300 };
    let source = Pieces::new(count * 8192, 64 * 1024, &[0]);
    let arenas = grown(&source, count);
    let tables = arenas.map().tables(0).count();
    assert!(tables <= 6, "{tables} tables: as many as arenas would be a list");
}

#[test]
fn arenas_of_all_sizes_at_all_places_are_found() {
    const SIZES: &[usize] = &[0, 70_001, 5000, 300_007, 64 * 1024, 9001, 130_000, 20_003, 0, 65_535, 33_333, 1_000_003];
    let source = Pieces::new(if cfg!(miri) { 600_000 } else { 8 << 20 }, 64 * 1024, SIZES);
    grown(&source, if cfg!(miri) { 6 } else { 40 });
}

#[test]
fn an_arena_of_more_granules_than_the_map_has_is_found() {
    let source = Pieces::new(3 << 20, 64 * 1024, &[64 * 1024, 1 << 20, 64 * 1024]);
    grown(&source, if cfg!(miri) { 2 } else { 4 });
}

#[test]
fn an_arena_at_a_multiple_of_its_size_is_at_home() {
    let source = Pieces::new(4 * 64 * 1024, 64 * 1024, &[64 * 1024]);
    let arenas = grown(&source, 3);
    for arena in arenas.iter() {
        let (base, entries) = (arena.base().addr(), arena.slices_from_base());
        let found = |address| arenas.map().find_entry_at_home(address).map(|(at, index)| (at.addr(), index));
        let end = base + entries * Mapped::SLICE_SIZE;
        assert_eq!([found(base), found(end - 1)], [Some((base, 0)), Some((base, entries - 1))]);
        assert!(found(end).is_none_or(|(at, _)| at != base));
        let round_the_map = ArenaMap::<Mapped>::LEN * Mapped::ARENA_SIZE;
        assert_eq!([found(base.wrapping_add(round_the_map)), found(base.wrapping_sub(round_the_map))], [None, None]);
    }
    assert!([0, 8, usize::MAX, !0 << 12].iter().all(|address| arenas.map().find_entry_at_home(*address).is_none()));
}

/// Also where an arena lies elsewhere, in granules that are nobody's home yet.
#[test]
fn an_arena_of_many_granules_is_at_home_in_those_that_nobody_has() {
    let source = Pieces::new(3 << 20, 64 * 1024, &[64 * 1024 + 1024, 130 * 1024]);
    let arenas = grown(&source, 2);
    for arena in arenas.iter() {
        let mut at_home = 0;
        let (first, last) = arena.span();
        for address in (first.max(arena.base().addr())..last).step_by(1000) {
            let Some((at, index)) = arenas.map().find_entry_at_home(address) else { continue };
            let base = arena.base().addr();
            assert_eq!((at.addr(), index), (base, (address - base) / Mapped::SLICE_SIZE));
            assert!(base.is_multiple_of(Mapped::SLICE_SIZE) && index < arena.slices_from_base());
            at_home += 1;
        }
        assert!(at_home > 40, "{at_home} addresses");
    }
}

/// Also where all the tables before it are full.
#[test]
fn an_arena_of_many_granules_brings_a_table_for_all_of_them() {
    // Three arenas fill the heap's own table; then one begins and ends in the middle of a granule.
    const GRANULE: usize = 64 * 1024;
    const SIZES: &[usize] = &[GRANULE, GRANULE, GRANULE + 60_000, 40 * GRANULE + 20_000];
    let source = Pieces::new(SIZES.iter().sum(), GRANULE, if cfg!(miri) { &SIZES[..3] } else { SIZES });
    grown(&source, if cfg!(miri) { 3 } else { 4 });
}

crate::geometry! {
    /// A map of sixteen.
    struct Sixteen {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 64 * 1024, magazine_slots: 2,
        magazine_bytes: 64, pages_per_group: 8, listed_words: 1, arena_map: 16,
    }
}

/// Once the map is more than half full, an arena brings a table four times as long; a list needs none.
#[test]
fn a_table_comes_when_the_map_is_half_full() {
    let map = ArenaMap::<Sixteen>::new();
    let entries = |span| (map.table_bytes(span) - size_of::<Table>()) / size_of::<AtomicPtr<u8>>();
    let mut taken = 0_u8;
    for used in 0..=16 {
        assert_eq!(entries(64 * 1024), if used > 8 { 64 } else { 16 }, "{used} of 16");
        if let Some(entry) = map.first.as_ref().get(used) {
            entry.store(&raw mut taken, Ordering::Relaxed);
        }
    }
    assert_eq!(entries(100 * 64 * 1024), 102, "for an arena that begins and ends in the middle of a granule");
    assert_eq!(ArenaMap::<crate::pages::geometry::Tiny>::new().table_bytes(1 << 20), 0);
}

/// The entries of a table lie in the memory that it was given.
#[test]
fn a_table_has_the_entries_that_fit() {
    let words = [const { AtomicUsize::new(0) }; 40];
    let memory = NonNull::from(&words);
    // SAFETY: zeroed, aligned, and longer than the test.
    let table = unsafe { Table::init(memory.cast(), size_of_val(&words)) };
    let entries = table.entries().as_ptr_range();
    assert_eq!(entries.end.addr(), memory.addr().get() + size_of_val(&words));
    assert_eq!(entries.start.addr(), memory.addr().get() + size_of::<Table>());
}
