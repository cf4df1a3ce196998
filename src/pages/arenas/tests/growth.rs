//! Tests of where an arena's memory comes from, with a source of which everything is known.

use core::ptr::NonNull;
use std::sync::Mutex;
use std::vec::Vec;

use crate::pages::arenas::*;
use crate::source::page_source::tests::memory_that_stays;

crate::geometry! {
    /// Arenas of 32 KiB, and a map of four.
    struct Mapped {
        slice_size: 128, max_block: 512, page_size: 512, arena_size: 32 * 1024, magazine_slots: 2,
        magazine_bytes: 64, pages_per_group: 8, listed_words: 1, arena_map: 4,
    }
}

const SIZE: usize = Mapped::ARENA_SIZE;
const MEMORY: usize = 8 * SIZE;

const COMMITS: u32 = 1;
const DECOMMITS: u32 = 2;
const RELEASES: u32 = 4;
const GROWS: u32 = 8;
const FRESH_IS_ZERO: u32 = 16;

/// Parts of its memory, as offset and bytes.
type Part = (usize, usize);

#[derive(Default)]
struct Known {
    first: Option<Part>,
    /// The next regions.
    regions: Vec<Part>,
    /// By how much a region grows at most.
    growth: usize,
    refuses: bool,
    /// Whether it takes nothing back.
    keeps: bool,
    requests: Vec<RegionRequest>,
    released: Vec<Part>,
    committed: Vec<Part>,
    decommitted: Vec<Part>,
}

/// Gives what it is told to.
struct Told<const ABILITIES: u32> {
    memory: NonNull<u8>,
    known: Mutex<Known>,
}

// SAFETY: a test hands each part out once.
unsafe impl<const ABILITIES: u32> Sync for Told<ABILITIES> {}

impl<const ABILITIES: u32> Told<ABILITIES> {
    fn new(first: Option<Part>, regions: &[Part]) -> Self {
        let memory = memory_that_stays(MEMORY, SIZE);
        let regions = regions.iter().copied().rev().collect();
        Told { memory, known: Known { first, regions, ..Known::default() }.into() }
    }

    fn known<R>(&self, change: impl FnOnce(&mut Known) -> R) -> R {
        change(&mut self.known.lock().unwrap())
    }

    fn region(&self, (offset, size): Part) -> Region {
        assert!(offset + size <= MEMORY);
        // SAFETY: inside the memory.
        Region { start: unsafe { self.memory.add(offset) }, size }
    }

    fn part(&self, start: NonNull<u8>, size: usize) -> Part {
        (start.addr().get() - self.memory.addr().get(), size)
    }

    fn asked(&self) -> usize {
        self.known(|known| known.requests.len())
    }
}

// SAFETY: as above.
unsafe impl<const ABILITIES: u32> PageSource for Told<ABILITIES> {
    const COMMITS: bool = ABILITIES & COMMITS != 0;
    const DECOMMITS: bool = ABILITIES & DECOMMITS != 0;
    const RELEASES: bool = ABILITIES & RELEASES != 0;
    const GROWS: bool = ABILITIES & GROWS != 0;
    const FRESH_IS_ZERO: bool = ABILITIES & FRESH_IS_ZERO != 0;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        assert!(request.min_size <= request.preferred_size, "what is preferred is no less");
        assert_eq!(request.preferred_align, SIZE);
        let part = self.known(|known| {
            known.requests.push(request);
            known.regions.pop_if(|part| part.1 >= request.min_size)
        });
        part.map(|part| self.region(part))
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        let first = self.known(|known| known.first)?;
        (first.1 >= min_size).then(|| self.region(first))
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        assert!(Self::COMMITS);
        let part = self.part(start, size);
        self.known(|known| {
            known.committed.push(part);
            !known.refuses
        })
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        assert!(Self::DECOMMITS);
        let part = self.part(start, size);
        self.known(|known| {
            known.decommitted.push(part);
            !known.keeps
        })
    }

    unsafe fn release(&self, region: Region) {
        assert!(Self::RELEASES);
        let part = self.part(region.start, region.size);
        self.known(|known| known.released.push(part));
    }

    unsafe fn grow(&self, _: Region, min_size: usize, _: usize) -> usize {
        assert!(Self::GROWS);
        self.known(|known| if min_size <= known.growth { known.growth } else { 0 })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.as_ptr().with_addr(address)
    }
}

fn grow<S: PageSource>(arenas: &Arenas<Mapped>, source: &S, slices: usize) -> bool {
    arenas.grow(source, 0, arenas.generation(), slices, slices)
}

/// So many arenas, in order, each with no more metadata than its tables.
fn assert_fresh(arenas: &Arenas<Mapped>, count: usize) {
    assert_eq!(arenas.iter().count(), count);
    assert_eq!(arenas.entering.load(Ordering::Relaxed), 0);
    for arena in arenas.iter() {
        arena.assert_valid();
        assert_eq!(arena.metadata_bytes(), arena.front_bytes());
        assert!(arenas.of(arena.slices().start()).is_some_and(|found| core::ptr::eq(found, arena)));
    }
}

/// A source that gives less than the heap would like seems to have no more, until it gives as much.
#[test]
fn memory_is_short_once_less_comes_than_was_asked_for() {
    let source = Told::<0>::new(None, &[(0, SIZE), (SIZE, SIZE - 1), (2 * SIZE, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && !arenas.is_short() && arenas.slices_at_most() == usize::MAX);
    assert!(grow(&arenas, &source, 1) && arenas.is_short());
    assert_eq!(arenas.slices_at_most(), arenas.iter().map(|arena| arena.slices().count()).sum());
    assert!(grow(&arenas, &source, 1) && arenas.is_short() && arenas.slices_at_most() == usize::MAX);
    assert!(!grow(&arenas, &source, 1) && arenas.slices_at_most() != usize::MAX);
    assert_fresh(&arenas, 3);
    // The region that a source begins with, as well.
    for (size, is_short) in [(SIZE, false), (SIZE - 1, true)] {
        let source = Told::<0>::new(Some((0, size)), &[]);
        let arenas = Arenas::<Mapped>::new();
        assert!(grow(&arenas, &source, 1) && source.asked() == 0);
        assert_eq!(arenas.is_short(), is_short);
        assert_fresh(&arenas, 1);
    }
    // One that grows may give the rest later.
    let source = Told::<GROWS>::new(None, &[(0, SIZE / 2)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && !arenas.is_short());
}

/// No region is so big; and what is longer than an arena usually is, is asked for.
#[test]
fn any_number_of_slices_can_be_asked_for() {
    let source = Told::<0>::new(None, &[(0, 3 * SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    for least in [1, usize::MAX] {
        assert!(!arenas.grow(&source, 0, 0, least, usize::MAX) && source.asked() == 0);
    }
    assert!(grow(&arenas, &source, 2 * SIZE / 128));
    assert!(arenas.iter().next().is_some_and(|arena| arena.slices().count() >= 2 * SIZE / 128));
}

/// Memory at the end of an arena's region comes before another region.
#[test]
fn an_arena_grows_first() {
    let source = Told::<GROWS>::new(None, &[(0, 8192), (SIZE, 8192)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1));
    let count = || arenas.iter().map(|arena| arena.slices().count()).sum::<usize>();
    let before = count();
    source.known(|known| known.growth = 1024);
    assert!(grow(&arenas, &source, 4) && source.asked() == 1);
    assert_eq!((count(), arenas.iter().count()), (before + 8, 1));
    source.known(|known| known.growth = 0);
    assert!(grow(&arenas, &source, 4) && source.asked() == 2);
    assert!(!grow(&arenas, &source, 4));
    assert_fresh(&arenas, 2);
}

/// Where an arena could have grown to, another one may lie: what is in there is found as that one's.
#[test]
fn an_arena_may_lie_where_another_could_have_grown_to() {
    let source = Told::<GROWS>::new(None, &[(0, SIZE / 4), (SIZE / 4, SIZE / 4)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && grow(&arenas, &source, 1));
    assert_fresh(&arenas, 2);
    let class = SizeClass::from_index(3);
    for arena in arenas.iter() {
        let page = arena.fresh_page(&source, class, 4).expect("room");
        assert_eq!([page.start(), page.start() + 500].map(|address| arenas.class_of(address)), [Some(class); 2]);
        let behind = arena.slices().start() + arena.slices().count() * 128;
        assert_eq!(arenas.class_of(behind), None);
    }
}

/// What a source begins with it may hand out as well: then it is the heap's already.
#[test]
fn the_first_region_is_used_once() {
    let source = Told::<0>::new(Some((0, SIZE)), &[(0, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && !grow(&arenas, &source, 1));
    assert_eq!(source.known(|known| known.regions.len()), 0);
    assert_fresh(&arenas, 1);
    // And then others.
    let source = Told::<0>::new(Some((0, SIZE)), &[(SIZE, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && grow(&arenas, &source, 1) && !grow(&arenas, &source, 1));
    assert_fresh(&arenas, 2);
}

/// The region that a source begins with has come when another one does, or is that one.
#[test]
fn a_first_region_that_comes_late_is_used() {
    /// Has a first region once it was asked for one.
    struct Late(Told<0>);

    // SAFETY: as above.
    unsafe impl PageSource for Late {
        fn reserve(&self, request: RegionRequest) -> Option<Region> {
            self.0.reserve(request)
        }

        fn first_region(&self, min_size: usize) -> Option<Region> {
            if self.0.asked() == 0 { None } else { self.0.first_region(min_size) }
        }

        fn pointer_at(&self, address: usize) -> *mut u8 {
            self.0.pointer_at(address)
        }
    }

    for (region, count) in [((SIZE, SIZE), 2), ((0, SIZE), 1)] {
        let source = Late(Told::new(Some((0, SIZE)), &[region]));
        let arenas = Arenas::<Mapped>::new();
        assert!(grow(&arenas, &source, 1));
        assert_fresh(&arenas, count);
        assert!(!grow(&arenas, &source, 1));
        assert_fresh(&arenas, count);
    }
}

/// A region whose tables are not committed goes back, or is kept for the next time.
#[test]
fn a_region_that_is_not_committed_is_not_lost() {
    let source = Told::<{ COMMITS | RELEASES }>::new(None, &[(0, SIZE), (SIZE, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    source.known(|known| known.refuses = true);
    assert!(!grow(&arenas, &source, 1));
    assert_eq!((source.known(|known| known.released.clone()), arenas.refusals()), (std::vec![(0, SIZE)], 1));
    source.known(|known| known.refuses = false);
    assert!(grow(&arenas, &source, 1) && source.asked() == 2);
    assert_fresh(&arenas, 1);
    let source = Told::<COMMITS>::new(None, &[(0, SIZE), (SIZE, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    source.known(|known| known.refuses = true);
    assert!(!grow(&arenas, &source, 1) && arenas.refusals() == 1);
    // Once more, and then another one.
    assert!(!grow(&arenas, &source, 1));
    source.known(|known| (known.refuses, known.requests) = (false, Vec::new()));
    assert!(grow(&arenas, &source, 1) && source.asked() == 0);
    assert_fresh(&arenas, 1);
    // One that is too small is no refusal.
    let source = Told::<0>::new(None, &[]);
    let arenas = Arenas::<Mapped>::new();
    arenas.adopt(&source, source.region((0, 100)));
    assert_eq!((arenas.refusals(), arenas.iter().count(), arenas.generation()), (0, 0, 0));
    arenas.adopt(&source, source.region((SIZE, SIZE)));
    assert_eq!((arenas.iter().count(), arenas.generation()), (1, 1), "others that search see that memory came in");
    arenas.note_refusal();
    assert_eq!(arenas.refusals(), 1);
}

/// Attempts to make the first arena beside each other: the first one to end wins, and the areas of the others come home when they end.
#[test]
fn areas_of_other_attempts_come_home() {
    fn begun<const ABILITIES: u32>(attempts: usize) -> (Told<ABILITIES>, Arenas<Mapped>, Areas<Mapped>) {
        let source = Told::<ABILITIES>::new(Some((0, SIZE)), &[]);
        let arenas = Arenas::<Mapped>::new();
        (0..attempts).for_each(|attempt| assert_eq!(arenas.newest.begin(attempts), Some(attempt)));
        let areas = Areas::<Mapped>::of_first(&source, |span| arenas.map.table_bytes(span)).expect("a region");
        assert!(areas.most_attempts() >= attempts);
        (source, arenas, areas)
    }
    /// Whether the area of an attempt that lost comes home into the arena's slices; and how many arenas there are if it lies in front.
    fn after<const ABILITIES: u32>(keeps: bool) -> (bool, usize) {
        let (source, arenas, areas) = begun::<ABILITIES>(3);
        source.known(|known| known.keeps = keeps);
        assert!(arenas.attempt_first(&source, &areas, 0));
        let commits = source.known(|known| known.committed.len());
        assert_eq!(commits, Told::<ABILITIES>::COMMITS.into(), "each attempt commits its own tables");
        let arena = arenas.iter().next().expect("one was made");
        let size = areas.area(1).size;
        let set_aside = || (arena.metadata_bytes() - arena.front_bytes()) / size;
        assert_eq!(set_aside(), 2, "others write there");
        arena.assert_valid();
        assert!(arenas.attempt_first(&source, &areas, 1), "there is an arena");
        let (offset, _) = source.part(areas.area(1).start, size);
        let decommitted = source.known(|known| known.decommitted.clone());
        let is_inside = |part: &Part| part.0 == offset && part.1 > 0 && part.1 <= size;
        assert_eq!(decommitted.len(), (Told::<ABILITIES>::COMMITS && Told::<ABILITIES>::DECOMMITS).into());
        assert!(decommitted.iter().all(is_inside), "the tables of the other arena");
        let is_home = set_aside() == 1;
        let first = arena.slices().index_of(areas.area(1).start.addr().get()).expect("a slice");
        let run = first..first + size / Mapped::SLICE_SIZE;
        let written = arena.slices().committed().count_in(run.clone());
        assert_eq!(written, if Told::<ABILITIES>::COMMITS { 0 } else { run.len() }, "it is not zero any more");
        arena.assert_valid();
        assert!(arenas.attempt_first(&source, &areas, 2));
        assert_eq!((set_aside(), arenas.iter().count()), (if is_home { 0 } else { 2 }, 1));
        // The last one is the first to end.
        let (source, arenas, areas) = begun::<ABILITIES>(2);
        source.known(|known| known.keeps = keeps);
        assert!(arenas.attempt_first(&source, &areas, 1));
        assert_fresh(&arenas, 1);
        assert!(arenas.attempt_first(&source, &areas, 0));
        let count = arenas.iter().count();
        assert_fresh(&arenas, count);
        (is_home, count)
    }
    assert_eq!(after::<0>(false), (true, 2));
    assert_eq!(after::<FRESH_IS_ZERO>(false), (true, 2));
    assert_eq!(after::<COMMITS>(false), (false, 1), "committed, and for good");
    assert_eq!(after::<{ COMMITS | DECOMMITS }>(false), (true, 1));
    assert_eq!(after::<{ COMMITS | DECOMMITS }>(true), (false, 1));
}

/// An attempt whose tables are not committed has not been; where there is no room for a second one, none is made beside one that never ends.
#[test]
fn an_attempt_that_is_refused_is_made_again() {
    let source = Told::<COMMITS>::new(Some((0, SIZE)), &[]);
    let arenas = Arenas::<Mapped>::new();
    source.known(|known| known.refuses = true);
    assert!(!grow(&arenas, &source, 1));
    assert_eq!(arenas.newest.begin(1), Some(0));
    arenas.newest.give_up(0);
    source.known(|known| known.refuses = false);
    assert!(grow(&arenas, &source, 1));
    assert_fresh(&arenas, 1);
}

#[test]
#[cfg_attr(miri, ignore = "long; it waits")]
fn a_region_for_one_attempt_is_not_divided() {
    let source = Told::<0>::new(Some((0, 1500)), &[]);
    let arenas = Arenas::<Mapped>::new();
    let places = Areas::<Mapped>::of_first(&source, |span| arenas.map.table_bytes(span)).expect("a region");
    assert_eq!((places.most_attempts(), arenas.newest.begin(1)), (1, Some(0)));
    assert!(!grow(&arenas, &source, 1));
    assert_eq!(arenas.iter().count(), 0);
}

/// A quarter of what there is, as a power of two: so arenas are few.
#[test]
fn more_is_asked_for_where_there_is_more() {
    let source = Told::<0>::new(None, &[(0, 7 * SIZE), (7 * SIZE, SIZE)]);
    let arenas = Arenas::<Mapped>::new();
    assert!(grow(&arenas, &source, 1) && grow(&arenas, &source, 1) && !grow(&arenas, &source, 1));
    let preferred: Vec<_> = source.known(|known| known.requests.iter().map(|request| request.preferred_size).collect());
    assert_eq!(preferred[..3], [SIZE, SIZE, 2 * SIZE]);
}

/// The class of an address is found by the map's entry at home, and by a search where another arena lies there, or none.
#[test]
fn classes_are_found_wherever_an_arena_lies() {
    let source = Told::<0>::new(None, &[(0, SIZE), (SIZE + 1000, 2 * SIZE)]);
    // What is no table could look like one.
    // SAFETY: the memory is the test's.
    unsafe { source.memory.write_bytes(1, MEMORY) };
    let arenas = Arenas::<Mapped>::new();
    assert!([8, SIZE].iter().all(|address| arenas.class_at_home(*address).is_none()), "there is none");
    let class = SizeClass::from_index(3);
    let mut pages = Vec::new();
    for slices in [1, 1] {
        assert!(grow(&arenas, &source, slices));
        let arena = arenas.iter().next().expect("the newest");
        let page = arena.fresh_page(&source, class, 4).expect("room");
        let (large, _) = arena.claim_large(&source, 2, 1).expect("room");
        pages.push((page.start(), large));
    }
    let [(first, first_large), (second, second_large)] = pages[..] else { panic!("two arenas") };
    for address in [first, first + 200, first + 511] {
        assert_eq!((arenas.class_at_home(address), arenas.class_of(address)), (Some(Some(class)), Some(class)));
    }
    for address in [second, second + 511] {
        assert_eq!((arenas.class_at_home(address), arenas.class_of(address)), (None, Some(class)));
    }
    let home = source.memory.addr().get();
    let elsewhere =
        [first - 1, first_large, second_large, home + SIZE + 8, home + 4 * SIZE + 2000, first.wrapping_add(16 * SIZE), 8];
    for address in elsewhere {
        assert_eq!(
            (arenas.class_at_home(address).flatten(), arenas.class_of(address)),
            (None, None),
            "{:#x}",
            address.wrapping_sub(home)
        );
    }
}

/// The first arena is on the list before it is in the map.
#[test]
fn an_arena_is_found_while_it_is_entered() {
    let source = Told::<0>::new(None, &[]);
    let arenas = Arenas::<Mapped>::new();
    let (arena, _) = Arena::<Mapped>::create(&source, source.region((0, SIZE)), 0).expect("big enough");
    arenas.newest.push(core::ptr::from_ref(arena).cast_mut(), |_| ());
    let address = arena.slices().start();
    assert!(arenas.of(address).is_none());
    arenas.entering.store(1, Ordering::Relaxed);
    assert!(arenas.of(address).is_some() && arenas.of(address - 1).is_none());
    arenas.entering.store(0, Ordering::Relaxed);
}
