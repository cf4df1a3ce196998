//! The conformance suite over the sources of the core and over hostile ones. Ports run it over theirs.

use coreheap::sources::{FixedRegion, Limited, Regions};
use coreheap::{Compact, Region, SingleCore, Tiny, TryFlag};
use coreheap_tests::conformance::{conformance, conformance_with};
use coreheap_tests::cores::Wandering;
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::{Hosted, Small};
use coreheap_tests::sources::{
    COMMITS, DECOMMITS, DECOMMITTED_IS_ZERO, FRESH_IS_ZERO, GROWS, OS_PAGES, RELEASES, REMAPS, TestSource,
};

const KIB: usize = 1024;
/// Enough for every geometry; less under Miri.
const SIZE: usize = if cfg!(miri) { 16 * KIB } else { 3000 * KIB };

/// A heap that wanders over four cores; two under Miri.
type FourCores = TryFlag<Wandering, { if cfg!(miri) { 2 } else { 4 } }>;

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn fixed_region() {
    let mut memory = vec![0xa5u8; SIZE];
    let start = memory.as_mut_ptr();
    // SAFETY: each heap is dropped before the next one is made, and the memory is used by nobody else.
    conformance(|| unsafe { FixedRegion::over(start, SIZE) });
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn several_regions() {
    let mut memory = vec![0xa5u8; 2 * SIZE];
    let start = memory.as_mut_ptr();
    let region = |offset: usize, size| {
        assert!(offset + size <= 2 * SIZE);
        // SAFETY: inside the memory.
        Region { start: unsafe { core::ptr::NonNull::new_unchecked(start.add(offset)) }, size }
    };
    // SAFETY: as above; the regions are apart.
    conformance(|| unsafe {
        Regions::new([region(3, 100), region(1001, SIZE), region(SIZE + 1001, SIZE / 2 + 7), region(SIZE / 2 * 3 + 1008, 9)])
    });
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn limited() {
    conformance(|| Limited::new(TestSource::<{ RELEASES }>::new(&[SIZE, SIZE]), SIZE * 3 / 2));
    conformance(|| Limited::new(TestSource::<{ COMMITS | DECOMMITS | OS_PAGES }>::new(&[2 * SIZE]), SIZE));
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn dirty_memory() {
    conformance(|| TestSource::<0>::new(&[SIZE, SIZE / 3]));
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn committing() {
    conformance(|| TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE]));
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn committing_zeroes_by_os_pages() {
    const ABILITIES: u32 = FRESH_IS_ZERO | COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO | RELEASES | OS_PAGES;
    conformance(|| TestSource::<ABILITIES>::new(&[SIZE, SIZE / 4]));
}

#[test]
#[cfg_attr(miri, ignore = "long; the other sources show it")]
fn growing() {
    conformance(|| TestSource::<{ GROWS | FRESH_IS_ZERO }>::new(&[2 * SIZE]).giving_at_first(SIZE / 3));
}

#[test]
fn everything() {
    const ALL: u32 = FRESH_IS_ZERO | COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO | RELEASES | GROWS | REMAPS | OS_PAGES;
    conformance(|| TestSource::<ALL>::new(&[2 * SIZE, SIZE]).giving_at_first(SIZE / 2));
}

#[test]
fn four_cores() {
    let make = || TestSource::<{ DECOMMITS | RELEASES }>::new(&[SIZE, SIZE / 2]);
    conformance_with::<_, FourCores, Hosted>(make, TryFlag::new);
    if !cfg!(miri) {
        conformance_with::<_, FourCores, Compact>(make, TryFlag::new);
        conformance_with::<_, FourCores, Tiny>(make, TryFlag::new);
    }
}

coreheap::geometry! {
    /// Slices as big as OS pages of some machines, blocks up to 1 MiB.
    struct Big {
        slice_size: 64 * 1024, max_block: 1024 * 1024, page_size: 512 * 1024, arena_size: 64 << 20, magazine_slots: 15,
        magazine_bytes: 256 * 1024, page_words: 64, pages_per_group: 20, listed_words: 24, arena_map: 16, grow_size: 1 << 20, fit_candidates: 4,
    }
}

#[test]
#[cfg_attr(miri, ignore = "long; the heap of four cores has this geometry there")]
fn own_geometries() {
    let make = || TestSource::<{ COMMITS | DECOMMITS }>::new(&[SIZE / 10, SIZE]);
    conformance_with::<_, FourCores, Small>(make, TryFlag::new);
    conformance_with::<_, SingleCore, Small>(make, single_core);
}

#[test]
#[cfg_attr(miri, ignore = "too much memory")]
fn a_geometry_of_big_blocks() {
    conformance_with::<_, SingleCore, Big>(|| TestSource::<{ COMMITS | DECOMMITS | OS_PAGES }>::new(&[24 << 20]), single_core);
}
