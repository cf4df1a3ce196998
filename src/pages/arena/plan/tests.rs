use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use super::*;
use crate::pages::geometry::{Compact, Server, Tiny};
use crate::source::page_source::RegionRequest;

/// Gives nothing: regions are made by hand.
struct Nothing<const OS_PAGE: usize, const GROWS: bool>;

// SAFETY: hands out nothing.
unsafe impl<const OS_PAGE: usize, const GROWS: bool> PageSource for Nothing<OS_PAGE, GROWS> {
    const GROWS: bool = GROWS;
    const OS_PAGE_SIZE: usize = OS_PAGE;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    unsafe fn commit(&self, _: NonNull<u8>, _: usize) -> bool {
        panic!("nothing is committed where the source does not say so");
    }

    unsafe fn grow(&self, _: Region, _: usize, _: usize) -> usize {
        assert!(GROWS);
        0
    }
}

crate::geometry! {
    /// Entries that say which class a page has.
    struct Wide {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 1 << 20, magazine_slots: 2,
        magazine_bytes: 64, pages_per_group: 8, listed_words: 1,
    }
}

type Fixed = Nothing<1, false>;
type Growing = Nothing<1, true>;

const SLICE: usize = Tiny::SLICE_SIZE;
/// Regions start at so many places: every third byte of a slice, and the last one.
const STARTS: usize = 43;

fn layout() -> Layout {
    Layout::from_size_align(Memory::SIZE, 4096).unwrap()
}

/// Memory for one arena at a time.
struct Memory(NonNull<u8>);

impl Memory {
    const SIZE: usize = 64 << 10;

    fn new() -> Self {
        // SAFETY: not of size 0; the memory is as long. It is dirty.
        unsafe {
            let memory = NonNull::new(std::alloc::alloc(layout())).unwrap();
            memory.write_bytes(0xa5, Self::SIZE);
            Memory(memory)
        }
    }

    /// `size` bytes from `skew` on.
    fn region(&self, skew: usize, size: usize) -> Region {
        assert!(skew + size <= Self::SIZE);
        // SAFETY: inside the memory.
        Region { start: unsafe { self.0.add(skew) }, size }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: as allocated.
        unsafe { std::alloc::dealloc(self.0.as_ptr(), layout()) };
    }
}

fn starts() -> impl Iterator<Item = usize> {
    (0..STARTS).map(|index| index * 3).step_by(if cfg!(miri) { 11 } else { 1 }).chain([SLICE - 1])
}

fn create<S: PageSource>(source: &S, region: Region) -> Option<&Arena<Tiny>> {
    Some(Arena::create(source, region, 0)?.0)
}

/// A region of the least size has the slices wherever it starts, and each of them can be used.
#[test]
fn a_region_of_the_least_size_has_its_slices() {
    fn check<const OS_PAGE: usize, const GROWS: bool>(source: &Nothing<OS_PAGE, GROWS>, slices: usize, skew: usize) {
        let memory = Memory::new();
        let size = Arena::<Tiny>::min_region_size::<Nothing<OS_PAGE, GROWS>>(slices).expect("not much");
        let region = memory.region(skew, size.next_multiple_of(OS_PAGE));
        let arena = create(source, region).expect("enough");
        assert!(arena.slices().count() >= slices, "{} of {slices} slices from {skew} on", arena.slices().count());
        // All of them lie in the region, behind the tables.
        let end = arena.slices().start() + arena.slices().count() * SLICE;
        assert!(end <= region.start.addr().get() + region.size);
        assert!(arena.slices().start().is_multiple_of(OS_PAGE.max(SLICE)));
        assert_eq!(arena.span(), (region.start.addr().get(), arena.slices().start() + arena.slices().capacity() * SLICE - 1));
        assert_eq!(arena.front_bytes(), arena.slices().start() - region.start.addr().get());
        assert_eq!((arena.region().start, arena.region().size), (region.start, region.size));
    }
    for slices in [1, 2, 7, 64, 65] {
        for skew in starts() {
            check(&Nothing::<1, false>, slices, skew);
            check(&Nothing::<1, true>, slices, skew);
        }
        check(&Nothing::<1024, false>, slices, 0);
        check(&Nothing::<1024, true>, slices, 3072);
    }
    // The tables of one that grows are for what it may become.
    let memory = Memory::new();
    let region = memory.region(0, Arena::<Wide>::min_region_size::<Growing>(200).expect("not much"));
    let (arena, _) = Arena::<Wide>::create(&Nothing::<1, true>, region, 0).expect("enough");
    assert!(arena.slices().count() >= 200);
    for slices in [usize::MAX, usize::MAX - 1, usize::MAX / SLICE, isize::MAX as usize / SLICE] {
        assert_eq!(Arena::<Tiny>::min_region_size::<Fixed>(slices), None, "no region is so long");
    }
}

/// No shorter region has as many slices, and none of twice the size has fewer.
#[test]
fn the_shortest_region_is_no_estimate() {
    let memory = Memory::new();
    for slices in [1, 2, 3, 10, 40] {
        let least = Arena::<Tiny>::least_region_size(slices).expect("not much");
        for skew in starts() {
            let count =
                |size: usize| create(&Nothing::<1, false>, memory.region(skew, size)).map_or(0, |arena| arena.slices().count());
            assert!(count(least - 1) < slices, "{slices} slices in less than {least} bytes");
            assert!(count(2 * least) >= slices, "no {slices} slices in twice {least} bytes");
        }
    }
    assert!(Arena::<Tiny>::least_region_size(usize::MAX / SLICE).is_none());
}

/// From the first size on that gives an arena, every byte more gives one, and next to no slice is left out.
#[test]
fn an_arena_uses_what_its_region_has() {
    let memory = Memory::new();
    for skew in [0, 1, 64, SLICE - 1] {
        let mut before = 0;
        for size in (0..4000).step_by(if cfg!(miri) { 307 } else { 1 }) {
            let region = memory.region(skew, size);
            let Some(arena) = create(&Nothing::<1, false>, region) else {
                assert_eq!(before, 0, "{size} bytes are enough no more");
                continue;
            };
            let slices = arena.slices();
            let left = region.start.addr().get() + size - slices.start();
            // One that the tables, which are by the region's size, have no room for may be left out.
            assert!((left / SLICE - 1..=left / SLICE).contains(&slices.count()), "{size} bytes from {skew} on");
            assert!(slices.count() > 0 && slices.count() + 1 >= slices.capacity(), "tables for what is there");
            assert_eq!(slices.free().count(), slices.count());
            // The slices begin soon behind the tables.
            let tables = Arena::<Tiny>::plan(size / SLICE, 0).end;
            let inset = arena.base().addr() - region.start.addr().get();
            assert!(arena.front_bytes() >= inset + tables && arena.front_bytes() < tables + align_of::<Arena<Tiny>>() + SLICE);
            assert!(!arena.grow(&Nothing::<1, false>, 1), "one that does not grow is not asked to");
            before = slices.count();
        }
        assert!(before > 15);
    }
}

/// A region with room for just one slice behind the tables is an arena.
#[test]
fn one_slice_is_enough() {
    let memory = Memory::new();
    let region = |size: usize| memory.region(0, size);
    let fits = |size: &usize| Arena::<Tiny>::front_for::<Fixed>(region(*size), 0) == size.checked_sub(SLICE);
    let size = (0..4000).find(fits).expect("a multiple of a slice");
    let arena = create(&Nothing::<1, false>, region(size)).expect("enough");
    assert_eq!((arena.slices().count(), arena.slices().capacity()), (1, 1));
    assert!(create(&Nothing::<1, false>, region(size - 1)).is_none());
}

/// The class of an address is found by its distance from the arena, wherever the region starts.
#[test]
fn a_class_is_found_by_the_distance_from_the_arena() {
    let (memory, source) = (Memory::new(), Nothing::<1, false>);
    // The arena lies where a slice could start.
    for skew in [0, SLICE - 1, SLICE - 3] {
        let (arena, _) = Arena::<Wide>::create(&source, memory.region(skew, 4000), 0).expect("enough");
        // What lies behind it looks like entries.
        // SAFETY: inside the memory, which is the test's.
        unsafe { memory.0.add(8000).write_bytes(1, Memory::SIZE - 8000) };
        let class = SizeClass::from_index(3);
        let page = arena.fresh_page(&source, class, 2).expect("room");
        let found = |address: usize| {
            let index = (address - arena.base().addr()) / SLICE;
            // SAFETY: an arena lies there, where a slice could start, and has such an entry.
            if index < arena.slices_from_base() { unsafe { Arena::<Wide>::class_in(arena.base(), index) } } else { None }
        };
        let start = page.start();
        assert!(arena.base().addr().is_multiple_of(SLICE));
        assert_eq!([start, start + 2 * SLICE - 1].map(found), [Some(class); 2], "from {skew} on");
        assert_eq!([start - 1, start + 2 * SLICE].map(found), [None; 2], "from {skew} on");
        let end = arena.slices().start() + arena.slices().capacity() * SLICE;
        assert_eq!([end - 1, end, end + (1 << 20)].map(found), [None; 3]);
        // Nothing in the tables.
        assert_eq!(found(arena.slices().start() - 1), None);
    }
}

/// The end of the region is left to headers, unless more is added there.
#[test]
fn the_end_is_set_aside_where_the_region_does_not_grow() {
    fn best_fit<const GROWS: bool>(memory: &Memory) -> bool {
        let source = Nothing::<1, GROWS>;
        let arena = create(&source, memory.region(0, 4000)).expect("enough");
        let slices = arena.slices();
        let last = slices.count() - 1;
        let metadata = arena.claim_metadata::<Nothing<1, GROWS>, [u8; SLICE]>(&source).expect("room");
        assert_eq!(slices.index_of(metadata.addr().get()), Some(if GROWS { 0 } else { last }));
        arena.return_metadata::<Nothing<1, GROWS>, _>(metadata);
        assert!(slices.claim_exactly(&source, 0..last).is_some() && slices.release(2..4));
        slices.claim(&source, 1, 1).expect("room").run == (last..last + 1)
    }
    let memory = Memory::new();
    assert_eq!((best_fit::<false>(&memory), best_fit::<true>(&memory)), (false, true));
}

/// A region can grow to eight times its first size, up to the size of an arena; one that cannot grow stays what it is.
#[test]
fn tables_reach_as_far_as_a_region_grows() {
    let memory = Memory::new();
    let reach = |size: usize| {
        let region = memory.region(5, size);
        (Arena::<Tiny>::reach::<Fixed>(region), Arena::<Tiny>::reach::<Growing>(region))
    };
    assert_eq!(reach(1000), (1000, 8000));
    assert_eq!(reach(2048), (2048, Tiny::ARENA_SIZE));
    assert_eq!(reach(5000), (5000, Tiny::ARENA_SIZE));
    assert_eq!(reach(20_000), (20_000, 20_000));
    let arena = create(&Nothing::<1, true>, memory.region(5, 4000)).expect("enough");
    assert!(arena.slices().count() < 32 && arena.slices().capacity() * SLICE > Tiny::ARENA_SIZE * 3 / 4);
}

#[test]
fn the_last_byte_of_the_address_space_is_unused() {
    let region =
        |size: usize| Region { start: NonNull::new(core::ptr::without_provenance_mut(size.wrapping_neg())).unwrap(), size };
    assert_eq!(Arena::<Tiny>::usable_size(region(4096)), 4095);
    assert_eq!(Arena::<Tiny>::usable_size(Region { size: 4095, ..region(4096) }), 4095);
    assert_eq!(Arena::<Tiny>::usable_size(Region { size: 4000, ..region(4096) }), 4000);
}

/// The tables lie one behind the other, each as long as it must be and aligned.
#[test]
fn tables_do_not_overlap() {
    fn check<G: Geometry>() {
        for (slices, map_bytes) in [(1, 0), (2, 8), (63, 0), (64, 128), (65, 0), (500, 64)] {
            let plan = Arena::<G>::plan(slices, map_bytes);
            let lengths: [(Range<usize>, usize, usize); 5] = [
                (0..Arena::<G>::ENTRIES, size_of::<Arena<G>>(), 1),
                (Arena::<G>::ENTRIES..plan.bitmaps, (slices + 2) * size_of::<G::PageEntry>(), align_of::<G::PageEntry>()),
                (plan.bitmaps..plan.groups, 3 * slices.div_ceil(usize::BITS as usize) * size_of::<usize>(), align_of::<usize>()),
                (plan.groups..plan.map_table, PageTable::<G>::group_capacity(slices) * size_of::<usize>(), align_of::<usize>()),
                (plan.map_table..plan.end, map_bytes, align_of::<usize>()),
            ];
            for (index, (table, least, align)) in lengths.into_iter().enumerate() {
                let spare = table.len().checked_sub(least).expect("too short");
                assert!(
                    table.start.is_multiple_of(align) && spare < size_of::<usize>(),
                    "table {index} for {slices} slices: {table:?}"
                );
            }
            assert_eq!(plan.capacity, slices);
        }
    }
    check::<Tiny>();
    check::<Compact>();
}

/// So many slices are enough for the run, its header, and other metadata, wherever the region starts.
#[test]
fn slices_for_a_run_are_enough_for_it() {
    let source = Nothing::<1, false>;
    let memory = Memory::new();
    for (run, align) in [(1, 1), (5, 1), (4, 512), (3, 1024), (9, 4096)] {
        for skew in starts() {
            let needed = Arena::<Tiny>::slices_for_run::<Fixed>(run, align, 1).unwrap();
            let size = Arena::<Tiny>::min_region_size::<Fixed>(needed).unwrap();
            let arena = create(&source, memory.region(skew, size)).expect("enough");
            assert!(arena.claim_metadata::<Fixed, [u8; SLICE]>(&source).is_some(), "other metadata");
            let claimed = arena.claim_large(&source, run, align);
            assert!(claimed.is_some_and(|(start, _)| start.is_multiple_of(align)), "{run} slices at {align} from {skew} on");
            arena.assert_valid();
        }
    }
    let header = run_for::<Fixed, Tiny>(size_of::<PageGroup<Tiny>>());
    assert_eq!(Arena::<Tiny>::slices_for_run::<Fixed>(10, 4 * SLICE, 3), Some(10 + 4 + 3 + header));
    assert_eq!(Arena::<Tiny>::slices_for_run::<Fixed>(usize::MAX, 1, 0), None);
    assert_eq!(Arena::<Tiny>::slices_for_run::<Fixed>(usize::MAX - 3, 4 * SLICE, 0), None);
    assert_eq!(Arena::<Tiny>::slices_for_run::<Fixed>(usize::MAX - 4, 4 * SLICE, 0), None);
}

/// All slices in pages of the smallest blocks: so many groups of headers, each of so many slices.
#[test]
fn headers_have_room_when_all_blocks_are_small() {
    let class = SizeClass::from_index(0);
    let page = Arena::<Tiny>::page_slices::<Fixed>(class, usize::MAX);
    let group = run_for::<Fixed, Tiny>(size_of::<PageGroup<Tiny>>());
    let per_group = size_of::<<Tiny as Geometry>::PageGroup<u8>>();
    for (pages, groups) in [(0, 0), (1, 1), (per_group, 1), (per_group + 1, 2), (5 * per_group, 5)] {
        assert_eq!(Arena::<Tiny>::header_slices::<Fixed>(pages * page), groups * group, "{pages} pages");
    }
}

/// Where slices are few, so are those of a page; but it is never without blocks, nor shorter than is worth a header.
#[test]
fn pages_are_shorter_where_memory_is_little() {
    fn check<G: Geometry>() {
        for class in (0..G::CLASS_COUNT).step_by(if cfg!(miri) { 7 } else { 1 }).map(SizeClass::from_index) {
            let bytes = |slices: usize| Arena::<G>::page_slices::<Fixed>(class, slices) * G::SLICE_SIZE;
            let size = class.block_size();
            let most = G::PAGE_BLOCKS * size;
            let full = bytes(usize::MAX);
            assert!(full + G::SLICE_SIZE >= G::PAGE_SIZE.max(8 * size).min(most), "{class:?}: {full} bytes");
            // From 64 pages on they are as long as anywhere.
            assert_eq!(bytes(64 * (G::PAGE_SIZE / G::SLICE_SIZE)), full);
            let headers = 16 * size_of::<Page<G>>();
            for slices in [1, 64, 64 * (G::PAGE_SIZE / G::SLICE_SIZE) - 1] {
                let wished = (slices / 64 * G::SLICE_SIZE).max(headers);
                let (page, wished) =
                    (bytes(slices), if wished < G::PAGE_SIZE { wished.max(2 * size) } else { G::PAGE_SIZE.max(8 * size) });
                assert!(
                    page + G::SLICE_SIZE >= wished.min(most) && page <= wished + wished / 4 + G::SLICE_SIZE,
                    "{class:?}: {page} bytes"
                );
            }
        }
    }
    check::<Tiny>();
    check::<Compact>();
    check::<Server>();
    // Whole OS pages.
    assert!(Arena::<Tiny>::page_slices::<Nothing<1024, false>>(SizeClass::from_index(0), usize::MAX).is_multiple_of(8));
}
