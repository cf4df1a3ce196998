mod growth;

use core::ptr::NonNull;
use std::thread;
use std::time::Duration;

use super::*;
use crate::pages::geometry::Tiny;
use crate::source::sources::FixedRegion;

/// The first call is refused after the second one has the region, which comes out only then.
struct Overtaken {
    region: FixedRegion,
    calls: AtomicUsize,
    refusals: AtomicUsize,
}

fn wait_until(count: &AtomicUsize, least: usize) {
    while count.load(Ordering::Acquire) < least {
        thread::yield_now();
    }
}

// SAFETY: the region's own.
unsafe impl PageSource for Overtaken {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if self.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            wait_until(&self.calls, 2);
            self.refusals.fetch_add(1, Ordering::Release);
            return None;
        }
        wait_until(&self.refusals, 1);
        thread::sleep(Duration::from_millis(5));
        self.region.reserve(request)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.region.pointer_at(address)
    }
}

#[test]
#[cfg_attr(miri, ignore = "the wait is short there")]
fn who_asked_first_waits_for_who_has_the_memory() {
    let mut memory = std::vec![0_u64; 4096];
    // SAFETY: it outlives the arenas.
    let region = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(&*memory)) };
    let source = Overtaken { region, calls: AtomicUsize::new(0), refusals: AtomicUsize::new(0) };
    let arenas = Arenas::<Tiny>::new();
    thread::scope(|scope| {
        let first = scope.spawn(|| arenas.grow(&source, 0, 0, 1, 1));
        wait_until(&source.calls, 1);
        assert!(arenas.grow(&source, 1, 0, 1, 1), "it has the region");
        assert!(first.join().expect("no panic"), "it has come in meanwhile");
    });
    assert_eq!(arenas.asking.cores().load(Ordering::Relaxed), 0);
}

/// A context began to make the first arena and ended, as a worker that is terminated does: others wait for it once, and make it themselves.
#[test]
fn an_attempt_that_never_ends_stops_nobody() {
    let mut memory = std::vec![0_u64; 8192];
    // SAFETY: the arenas' as long as they are.
    let source = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(&*memory)) };
    let arenas = Arenas::<Tiny>::new();
    arenas.asking.cores().store(1 << 4, Ordering::Relaxed);
    assert_eq!(arenas.newest.begin(1), Some(0));
    assert!(arenas.grow(&source, 0, 0, 1, 1));
}

/// Two attempts were refused a commit and gave up in the order in which they began: the next one is not the first, but it is made.
#[test]
fn attempts_that_give_up_stop_nobody() {
    let mut memory = std::vec![0_u64; 8192];
    // SAFETY: as above.
    let source = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(&*memory)) };
    let arenas = Arenas::<Tiny>::new();
    assert_eq!((arenas.newest.begin(5), arenas.newest.begin(5)), (Some(0), Some(1)));
    arenas.newest.give_up(0);
    arenas.newest.give_up(1);
    assert!(arenas.grow(&source, 0, 0, 1, 1));
}

/// Refuses once, gives the least that may be of use once, and then what it is asked for.
struct LittleThenMuch {
    memory: *mut u8,
    calls: AtomicUsize,
}

// SAFETY: what changes is atomic.
unsafe impl Sync for LittleThenMuch {}

// SAFETY: parts of the memory that do not overlap.
unsafe impl PageSource for LittleThenMuch {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (offset, size) = if call == 1 { (1, request.min_size) } else { (call * 100_000, request.min_size.max(50_000)) };
        let start = NonNull::new(self.memory.wrapping_add(offset)).expect("not null");
        (call > 0).then_some(Region { start, size })
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.memory.with_addr(address)
    }
}

/// A region that is too small where it lies is given up, and the source is asked again.
#[test]
fn a_region_that_can_be_no_arena_stops_nobody() {
    let mut memory = std::vec![0_u64; 80_000];
    let source = LittleThenMuch { memory: memory.as_mut_ptr().cast(), calls: AtomicUsize::new(0) };
    let arenas = Arenas::<Tiny>::new();
    let grow = || arenas.grow(&source, 0, arenas.generation(), 1, 8);
    assert!(grow() || grow() && source.calls.load(Ordering::Relaxed) == 3);
}

/// Heaps of few regions keep a list.
#[test]
fn each_address_is_found_in_its_arena() {
    let mut memory = std::vec![0_u64; 4096];
    let (first, second) = memory.split_at_mut(2048);
    let region = |part: &mut [u64]| Region { start: NonNull::from(&mut *part).cast(), size: size_of_val(part) };
    // SAFETY: the arenas' as long as they are.
    let source = unsafe { crate::source::sources::Regions::new([region(first), region(second)]) };
    let arenas = Arenas::<Tiny>::new();
    assert!((0..2).all(|generation| arenas.grow(&source, 0, generation, 1, 1)));
    for arena in arenas.iter() {
        let slices = arena.slices();
        for address in [slices.start(), slices.start() + slices.count() * 128 - 1] {
            assert!(arenas.of(address).is_some_and(|found| core::ptr::eq(found, arena)));
        }
        assert!(arenas.of(slices.start() - 1).is_none_or(|found| !core::ptr::eq(found, arena)));
    }
    assert_eq!((arenas.iter().count(), arenas.class_of(8)), (2, None));
}
