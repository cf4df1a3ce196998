//! Models of arenas that come in while others look for them. They lie in zeroed memory, where loom has no atomics; so for Miri alone.

use core::ptr::NonNull;
use std::thread;
use std::vec::Vec;

use super::*;
use crate::base::sync::model::explore;
use crate::source::sources::{FixedRegion, Regions};

crate::geometry! {
    /// A map of two entries.
    struct Mapped {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 16 * 1024, magazine_slots: 2,
        magazine_bytes: 64, pages_per_group: 8, listed_words: 1, arena_map: 2,
    }
}

/// One more than the map has entries.
const REGIONS: usize = 3;

/// Regions that each begin a granule, none of them from the beginning.
struct Later(Regions<REGIONS>);

// SAFETY: the regions'.
unsafe impl PageSource for Later {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.0.reserve(request)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.0.pointer_at(address)
    }
}

/// Memory for the regions, and these.
fn memory() -> (Vec<u64>, [Region; REGIONS]) {
    let mut memory = std::vec![0_u64; (REGIONS + 1) * Mapped::ARENA_SIZE / 8];
    let start = memory.as_mut_ptr().cast::<u8>();
    let before = start.addr().wrapping_neg() % Mapped::ARENA_SIZE;
    let region = |index: usize| {
        // SAFETY: inside the memory.
        let start = unsafe { start.add(before + index * Mapped::ARENA_SIZE) };
        Region { start: NonNull::new(start).unwrap(), size: 4096 }
    };
    (memory, core::array::from_fn(region))
}

fn grow(arenas: &Arenas<Mapped>, source: &impl PageSource) {
    assert!(arenas.grow(source, 0, arenas.generation(), 1, 1));
}

/// An address among the last slices of a region.
fn inside(region: Region) -> usize {
    region.start.addr().get() + region.size - Mapped::SLICE_SIZE
}

/// While the last of so many arenas is made: who looks for one of its addresses, until it is found or made, sees the arena as it was made.
fn is_found_as_it_was_made(count: usize, is_found: impl Fn(&Arenas<Mapped>, usize) -> bool) {
    explore(|| one_is_found_as_it_was_made(count, &is_found));
}

fn one_is_found_as_it_was_made(count: usize, is_found: impl Fn(&Arenas<Mapped>, usize) -> bool) {
    let (_memory, regions) = memory();
    // SAFETY: it outlives the arenas.
    let source = Later(unsafe { Regions::new(regions) });
    let arenas = Arenas::<Mapped>::new();
    (1..count).for_each(|_| grow(&arenas, &source));
    let address = inside(regions[count - 1]);
    thread::scope(|scope| {
        let maker = scope.spawn(|| grow(&arenas, &source));
        while !is_found(&arenas, address) && !maker.is_finished() {
            thread::yield_now();
        }
    });
    assert!(arenas.of(address).is_some());
}

#[test]
fn an_arena_is_found_as_it_was_made() {
    is_found_as_it_was_made(1, |arenas, address| arenas.of(address).is_some());
}

/// The heap's own table is full by then.
#[test]
fn an_arena_is_found_by_the_table_that_it_brought_along() {
    is_found_as_it_was_made(REGIONS, |arenas, address| arenas.of(address).is_some());
}

#[test]
fn a_class_is_looked_up_in_an_arena_as_it_was_made() {
    is_found_as_it_was_made(1, |arenas, address| {
        assert_eq!(arenas.class_at_home(address).flatten(), None, "it is free");
        false
    });
}

/// Who has memory of the first arena finds the arena, though that is not in the map yet when memory can be had (N1).
#[test]
fn the_first_arena_is_always_found() {
    explore(|| {
        let (_memory, [region, ..]) = memory();
        // SAFETY: it outlives the arenas.
        let source = unsafe { FixedRegion::new([region]) };
        let arenas = Arenas::<Mapped>::new();
        thread::scope(|scope| {
            let maker = scope.spawn(|| grow(&arenas, &source));
            loop {
                // The last look is after the maker's end, which is seen without synchronisation.
                let is_last = maker.is_finished();
                if arenas.iter().next().is_some() {
                    assert!(arenas.of(inside(region)).is_some(), "an arena that has blocks was not found");
                }
                if is_last {
                    break;
                }
                thread::yield_now();
            }
        });
    });
}
