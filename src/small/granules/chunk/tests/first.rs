//! The region that a source begins with, in areas.

use std::vec;

use super::*;
use crate::source::page_source::RegionRequest;

/// A source that begins with a region.
struct Begins(Region);

// SAFETY: the region stays while the source is there.
unsafe impl PageSource for Begins {
    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        (self.0.size >= min_size).then_some(self.0)
    }
}

/// Each attempt has room for its tables in its own area, and for a granule behind it; half of the region is for blocks.
#[test]
fn each_attempt_has_an_area_of_its_own() {
    let sizes = (0..1100).step_by(if cfg!(miri) { 97 } else { 1 }).chain([4096, 20_000]);
    for (skew, size) in sizes.flat_map(|size| [(0, size), (3, size), (8, size)]) {
        let mut memory = vec![DIRT; size / 8 + 3];
        // SAFETY: inside the memory.
        let start = unsafe { memory.as_mut_ptr().cast::<u8>().add(skew) };
        let region = Region { start: NonNull::new(start).expect("an array"), size };
        let Some(first) = FirstChunk::of(&Begins(region)) else {
            assert!(size < Chunk::least_region_for(1) + 3 * GRANULE, "{skew}, {size}");
            continue;
        };
        let most = first.most_attempts();
        let area = first.area(0).size;
        let (start, end) = (first.region.start.addr().get(), region.start.addr().get() + size);
        assert!(start.is_multiple_of(GRANULE) && start - region.start.addr().get() < GRANULE, "{skew}, {size}");
        assert_eq!(start + first.region.size, end);
        assert!(most == 1 || 2 * most * area <= first.region.size, "{skew}, {size}: half is for blocks");
        assert!(most >= 1 && 2 * (most + 1) * area > first.region.size, "{skew}, {size}: there could be more");
        let attempts = if cfg!(miri) { most.min(3) } else { most };
        for attempt in 0..attempts {
            let (part, own) = (first.part(attempt), first.area(attempt));
            assert_eq!((part.start, own.size), (own.start, area));
            assert_eq!((part.start.addr().get(), part.start.addr().get() + part.size), (start + attempt * area, end));
            let chunk = Chunk::create(part).expect("there is room");
            // SAFETY: made just now, in memory that is there.
            let chunk = unsafe { chunk.as_ref() };
            assert!(part.holds(core::ptr::from_ref(chunk).addr()) && chunk.start <= own.start.addr().get() + area, "in its area");
            // Under Miri no more than the next ones.
            for other in 0..most.min(attempts + 2) {
                let granules = first.area_in(chunk, other);
                let expected = (other > attempt).then(|| (start + other * area - chunk.start) / GRANULE);
                assert_eq!(granules, expected.map(|from| from..from + area / GRANULE), "{skew}, {size}: {other} in {attempt}");
            }
        }
    }
}

#[test]
fn the_first_region_may_be_a_part_of_another() {
    let mut memory = [DIRT; 301];
    let start = NonNull::new(memory.as_mut_ptr().cast::<u8>()).expect("an array");
    let before = start.addr().get().wrapping_neg() % GRANULE;
    // SAFETY: inside the memory.
    let part = |from: usize, size: usize| Region { start: unsafe { start.add(before + from) }, size };
    let first = FirstChunk::of(&Begins(part(800, 800))).expect("room");
    for (region, expected) in [
        (part(800, 800), true),
        (part(0, 2400), true),
        (part(800, 1), true),
        (part(0, 801), true),
        (part(0, 800), false),
        (part(801, 1599), false),
        (part(1600, 800), false),
    ] {
        assert_eq!(first.is_in(region), expected, "{region:?}");
    }
}

#[test]
fn there_may_be_no_first_region() {
    /// Asks for what is needed at least.
    struct Asked(core::sync::atomic::AtomicUsize);

    // SAFETY: hands out nothing.
    unsafe impl PageSource for Asked {
        fn reserve(&self, _: RegionRequest) -> Option<Region> {
            None
        }

        fn first_region(&self, min_size: usize) -> Option<Region> {
            self.0.store(min_size, core::sync::atomic::Ordering::Relaxed);
            None
        }
    }

    let source = Asked(0.into());
    assert!(FirstChunk::of(&source).is_none());
    assert_eq!(source.0.into_inner(), Chunk::least_region_for(1));
}
