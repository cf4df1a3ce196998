use std::sync::Mutex;
use std::vec::Vec;

use super::*;
use crate::base::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::cores::core_local::SingleCore;
use crate::heap::shortage::tests::scripted::claim_rest;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::{Region, RegionRequest};

crate::geometry! {
    /// Blocks that need more than 4 KiB have regions of their own.
    struct Regional {
        slice_size: 128, max_block: 512, page_size: 1024, arena_size: 8 * 1024, magazine_slots: 6,
        magazine_bytes: 1024, page_words: 128 / usize::BITS as usize, pages_per_group: 8, listed_words: 1, arena_map: 4, grow_size: 4096, own_region_above: 4096,
    }
}

/// Gives what the heap would like, and `extra` bytes.
#[derive(Default)]
struct Giving<const COMMITS: bool> {
    regions: Mutex<Vec<Region>>,
    released: AtomicUsize,
    extra: AtomicUsize,
    refuses: AtomicBool,
    has_few_addresses: AtomicBool,
}

// SAFETY: memory of its own for each region, which stays.
unsafe impl<const COMMITS: bool> PageSource for Giving<COMMITS> {
    const COMMITS: bool = COMMITS;
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let size = request.preferred_size + self.extra.load(Ordering::Relaxed);
        let region = Region { start: memory_that_stays(size, 4096), size };
        self.regions.lock().unwrap().push(region);
        Some(region)
    }

    unsafe fn commit(&self, _: NonNull<u8>, _: usize) -> bool {
        !self.refuses.load(Ordering::Relaxed)
    }

    unsafe fn release(&self, _: Region) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    fn has_few_addresses(&self) -> bool {
        self.has_few_addresses.load(Ordering::Relaxed)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        let regions = self.regions.lock().unwrap();
        let region = regions.iter().find(|region| region.holds(address)).expect("a block lies in a region");
        region.start.as_ptr().with_addr(address)
    }
}

type OneCore<const COMMITS: bool> = Heap<Giving<COMMITS>, SingleCore, Regional>;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A heap of one arena, in which nothing but entries for regions has room.
fn heap<const COMMITS: bool>() -> OneCore<COMMITS> {
    // SAFETY: each test has one thread.
    let heap = Heap::new(Giving::default(), unsafe { SingleCore::new() });
    assert!(heap.allocate(layout(600, 1)).is_some());
    let slices = heap.arenas.iter().next().expect("an arena").slices();
    let entries = slices.claim(&heap.source, run_for::<Giving<COMMITS>, Regional>(size_of::<Group>()), 1).expect("room").run;
    claim_rest(slices, &heap.source);
    assert!(slices.release(entries));
    heap
}

impl<const COMMITS: bool> OneCore<COMMITS> {
    /// How many blocks have a region, and how many arenas there are.
    fn counts(&self) -> (usize, usize) {
        (self.region_blocks.blocks().count(), self.arenas.iter().count())
    }

    fn used(&self) -> usize {
        self.slices_used.load(Ordering::Relaxed) + self.slices_apart.load(Ordering::Relaxed)
    }
}

/// What is bigger than the limit together with what its alignment may cost.
#[test]
fn big_blocks_have_regions() {
    for (size, align, has_region) in
        [(3968, 1, false), (3968, 128, false), (4096, 1, true), (4096, 128, true), (3968, 256, true), (20_000, 4096, true)]
    {
        let heap = heap::<false>();
        let block = heap.allocate(layout(size, align)).expect("memory");
        assert!(block.addr().get().is_multiple_of(align));
        assert_eq!(heap.counts(), if has_region { (1, 1) } else { (0, 2) }, "{size} bytes at {align}");
        assert_eq!(heap.large_size(block.addr().get()), Some(size.next_multiple_of(128)));
        // SAFETY: a live block of this layout.
        unsafe { heap.deallocate(block, layout(size, align)) };
        assert_eq!((heap.counts().0, heap.source.released.load(Ordering::Relaxed)), (0, has_region.into()));
    }
}

/// Where addresses are few, shorter ones have as well, also when they get another size.
#[test]
fn where_addresses_are_few_most_blocks_have_regions() {
    for has_few in [false, true] {
        let heap = heap::<false>();
        let old = layout(640, 1);
        heap.source.has_few_addresses.store(has_few, Ordering::Relaxed);
        let block = heap.allocate(old).expect("memory");
        assert_eq!(heap.counts(), if has_few { (1, 1) } else { (0, 2) });
        // SAFETY: a live block of this layout; filled as far as it is long.
        let longer = unsafe {
            block.write_bytes(7, 640);
            heap.reallocate(block, old, 1280).expect("memory")
        };
        assert_eq!(heap.counts().0, usize::from(has_few));
        // SAFETY: a live block of this layout, 640 bytes of which are filled.
        unsafe {
            assert!((0..640).all(|at| longer.add(at).read() == 7));
            heap.deallocate(longer, layout(1280, 1));
        }
        assert_eq!(heap.counts().0, 0);
        assert_eq!(
            heap.source.released.load(Ordering::Relaxed),
            if has_few { heap.source.regions.lock().unwrap().len() - 1 } else { 0 }
        );
    }
}

/// A region of more than twice what was asked for would be wasted on one block.
#[test]
fn a_region_that_is_much_too_big_becomes_an_arena() {
    for (extra, counts) in [(0, (1, 1)), (4099, (1, 1)), (4100, (0, 2)), (9000, (0, 2))] {
        let heap = heap::<false>();
        heap.source.extra.store(extra, Ordering::Relaxed);
        assert!(heap.allocate(layout(4096, 1)).is_some());
        assert_eq!(heap.counts(), counts, "{extra} bytes more");
        assert!(!heap.arenas.is_short(), "there is room at once");
        assert_eq!(heap.source.released.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn large_blocks_are_in_use_wherever_they_lie() {
    let heap = heap::<false>();
    let first = heap.used();
    let entries = run_for::<Giving<false>, Regional>(size_of::<Group>());
    let block = heap.allocate(layout(8192, 1)).expect("memory");
    assert_eq!((heap.counts(), heap.used()), ((1, 1), first + entries + 64));
    assert_eq!(heap.stats().peak, heap.used() * 128);
    // SAFETY: a live block of this size, as long as it is.
    unsafe {
        let shorter = heap.reallocate(block, layout(8192, 1), 8000).expect("it is there");
        assert_eq!((shorter, heap.used()), (block, first + entries + 63));
        let longer = heap.reallocate(shorter, layout(8000, 1), 8192).expect("it was there");
        assert_eq!((longer, heap.used()), (block, first + entries + 64));
        heap.deallocate(longer, layout(8192, 1));
    }
    assert_eq!(heap.used(), first + entries);
    let small = heap.allocate(layout(1000, 1)).expect("memory");
    assert_eq!((heap.counts(), heap.used()), ((0, 2), first + entries + 8));
    // SAFETY: as above.
    unsafe {
        let longer = heap.reallocate(small, layout(1000, 1), 1500).expect("memory");
        assert_eq!(heap.used(), first + entries + 12);
        heap.deallocate(longer, layout(1500, 1));
    }
    assert_eq!(heap.used(), first + entries);
    assert_eq!((heap.stats().used, heap.source.released.load(Ordering::Relaxed)), (640, 1));
}

/// The region goes back, the entry is free as before, and the refusal counts.
#[test]
fn a_region_that_is_not_committed_leaves_nothing_behind() {
    let heap = heap::<true>();
    let block = heap.allocate(layout(5000, 1)).expect("memory");
    // SAFETY: a live block of this layout.
    unsafe { heap.deallocate(block, layout(5000, 1)) };
    let (used, refusals) = (heap.used(), heap.arenas.refusals());
    heap.source.refuses.store(true, Ordering::Relaxed);
    assert!(heap.allocate(layout(5000, 1)).is_none());
    assert!(heap.arenas.refusals() > refusals);
    assert_eq!((heap.counts(), heap.used()), ((0, 1), used));
    assert_eq!(heap.source.released.load(Ordering::Relaxed), heap.source.regions.lock().unwrap().len() - 1);
    assert_eq!(core::iter::from_fn(|| heap.region_blocks.claim_unused()).count(), 15, "all entries are unused");
}

/// Takes nothing back but whole regions, and gives room behind them.
#[derive(Default)]
struct Stubborn(Giving<true>);

// SAFETY: as there.
unsafe impl PageSource for Stubborn {
    const COMMITS: bool = true;
    const DECOMMITS: bool = true;
    const RELEASES: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.0.reserve(request)
    }

    unsafe fn commit(&self, _: NonNull<u8>, _: usize) -> bool {
        true
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.0.pointer_at(address)
    }
}

/// A block that cannot be shortened where it lies moves, as far as the new one goes.
#[test]
fn a_block_that_shrinks_by_moving_moves_no_more_than_fits() {
    // SAFETY: one thread.
    let heap: Heap<_, _, Regional> = Heap::new(Stubborn::default(), unsafe { SingleCore::new() });
    let block = heap.allocate(layout(12_032, 1)).expect("memory");
    assert_eq!(heap.region_blocks.blocks().count(), 1);
    heap.source.0.extra.store(8000, Ordering::Relaxed);
    // SAFETY: a live block of this size; behind the other one lies what its region has more.
    unsafe {
        block.write_bytes(0x5a, 12_032);
        let moved = heap.reallocate(block, layout(12_032, 1), 8192).expect("memory");
        assert!(moved != block && moved.cast::<[u8; 8192]>().read() == [0x5a; 8192]);
        let behind = heap.source.pointer_at(moved.addr().get() + 8192);
        assert!(behind.cast::<[u8; 8000]>().read() == [0; 8000], "and no more");
    }
}

/// Where a region cannot be remapped, a block that grows out of one gets one with room, so that it moves once in a while.
#[test]
fn a_block_that_grows_gets_room() {
    let heap = heap::<true>();
    let (mut block, mut moves) = (heap.allocate(layout(5000, 1)).expect("memory"), 0);
    for size in (5000..20_000).step_by(100) {
        // SAFETY: a live block of this size.
        let grown = unsafe { heap.reallocate(block, layout(size, 1), size + 100) }.expect("memory");
        moves += usize::from(grown != block);
        block = grown;
    }
    assert!((3..=5).contains(&moves), "{moves} moves");
}
