use super::*;
use crate::pages::geometry::Tiny;
use crate::source::page_source::RegionRequest;
use crate::source::page_source::tests::memory_that_stays;

/// Begins with this region.
struct First<const OS_PAGE: usize, const ABILITIES: u32>(Region);

const GROWS: u32 = 1;
const RELEASES: u32 = 2;

// SAFETY: hands out nothing.
unsafe impl<const OS_PAGE: usize, const ABILITIES: u32> PageSource for First<OS_PAGE, ABILITIES> {
    const OS_PAGE_SIZE: usize = OS_PAGE;
    const GROWS: bool = ABILITIES & GROWS != 0;
    const RELEASES: bool = ABILITIES & RELEASES != 0;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        Some(self.0).filter(|region| region.size >= min_size)
    }
}

const SLICE: usize = Tiny::SLICE_SIZE;

/// Memory that stays; `skew` bytes behind a multiple of 4 KiB.
fn region(skew: usize, size: usize) -> Region {
    // SAFETY: inside the memory.
    Region { start: unsafe { memory_that_stays(skew + size, 4096).add(skew) }, size }
}

fn offset(region: Region, of: Region) -> usize {
    region.start.addr().get() - of.start.addr().get()
}

/// Areas lie one behind the other, at OS pages and slices, and each holds what an arena at its start has in front of its slices.
#[test]
fn areas_do_not_overlap_and_hold_the_tables() {
    fn check<const OS_PAGE: usize>(skew: usize, size: usize) {
        let whole = region(skew, size);
        let source = First::<OS_PAGE, 0>(whole);
        let areas = Areas::<Tiny>::of_first(&source, |_| 16).expect("big enough");
        let unit = OS_PAGE.max(SLICE);
        let most = areas.most_attempts();
        assert!(most > 1, "{most} attempts");
        let mut end = 0;
        for attempt in 0..most {
            let (area, part) = (areas.area(attempt), areas.part(attempt));
            assert_eq!((offset(area, whole), offset(part, whole)), (end, end));
            assert_eq!(offset(part, whole) + part.size, size, "all that is behind it");
            assert!(attempt == 0 || area.start.addr().get().is_multiple_of(unit));
            let front = Arena::<Tiny>::front_for::<First<OS_PAGE, 0>>(part, areas.map_bytes()).expect("short");
            assert!(
                front <= area.size && (attempt > 0 || area.size - front <= 3 * unit),
                "tables of {front} bytes in an area of {}",
                area.size
            );
            end += area.size;
        }
        // Half of the region is for blocks, and no more than an area of the other half is unused.
        let area = areas.area(1).size;
        assert!(end <= size / 2 + unit + area && end + area > size / 2, "{end} of {size} bytes");
        assert!(areas.are_of(whole) && !areas.are_of(areas.part(1)));
    }
    for skew in [0, 1, 7, 64, 127] {
        check::<1>(skew, 20_000);
        check::<1>(skew, 30_001);
    }
    check::<1024>(0, 64 * 1024);
    check::<1024>(0, 63 * 1024);
}

/// There is an attempt, whatever the region's size, if there is an arena; and only of what can be divided.
#[test]
#[cfg_attr(miri, ignore = "arithmetic, for many sizes")]
fn areas_are_of_regions_that_can_be_arenas() {
    let whole = region(5, 4000);
    for size in 0..4000 {
        let source = First::<1, 0>(Region { size, ..whole });
        let map_bytes = |reach: usize| {
            assert_eq!(reach, size);
            0
        };
        let areas = Areas::<Tiny>::of_first(&source, map_bytes);
        let can_be = Arena::<Tiny>::front_for::<First<1, 0>>(source.0, 0).is_some_and(|front| front + SLICE <= size);
        let is_asked_for = Arena::<Tiny>::least_region_size(1).is_some_and(|least| size >= least);
        assert_eq!(areas.is_some(), can_be && is_asked_for, "{size} bytes");
        assert!(areas.is_none_or(|areas| areas.most_attempts() >= 1 && areas.part(0).size == size));
    }
    assert!(Areas::<Tiny>::of_first(&First::<1, GROWS>(whole), |_| 0).is_none());
    assert!(Areas::<Tiny>::of_first(&First::<1, RELEASES>(whole), |_| 0).is_none());
}

/// What other contexts write in is nobody's until it is taken back.
#[test]
fn an_area_is_set_aside_and_taken_back() {
    let source = First::<1, 0>(region(0, 20_000));
    let areas = Areas::<Tiny>::of_first(&source, |_| 0).expect("big enough");
    let (arena, _) = Arena::<Tiny>::create(&source, areas.part(0), 0).expect("big enough");
    let state = || (arena.slices().free().count(), arena.metadata_bytes());
    let before = state();
    let area = areas.area(1);
    let first = arena.slices().index_of(area.start.addr().get()).expect("it lies behind the first one");
    arena.set_aside(&source, area);
    assert_eq!(state(), (before.0 - area.size / SLICE, before.1 + area.size));
    assert!(arena.slices().free().is_clear(first..first + area.size / SLICE));
    arena.assert_valid();
    assert!(arena.take_back(area));
    assert_eq!(state(), before);
    arena.assert_valid();
    // In front of the slices there is nothing to take.
    arena.set_aside(&source, areas.area(0));
    assert!(!arena.take_back(areas.area(0)));
    assert_eq!(state(), before);
}
