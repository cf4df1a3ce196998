use std::sync::Mutex;
use std::vec::Vec;

use super::*;
use crate::base::sync::{AtomicBool, AtomicPtr, WORD_BITS};
use crate::pages::geometry::Tiny;
use crate::source::page_source::tests::memory_that_stays;
use crate::source::page_source::{Region, RegionRequest};

const SLICE: usize = Tiny::SLICE_SIZE;
/// An OS page of four slices.
const PAGE: usize = 4 * SLICE;

const COMMITS: u32 = 1;
const DECOMMITS: u32 = 2;
const FRESH_IS_ZERO: u32 = 4;
const DECOMMITTED_IS_ZERO: u32 = 8;
const OS_PAGES: u32 = 16;

/// Notes which slices are committed (true) and decommitted, unless it refuses.
#[derive(Default)]
struct Noting<const ABILITIES: u32> {
    /// Where slice 0 is.
    start: AtomicUsize,
    refuses: AtomicBool,
    calls: Mutex<Vec<(bool, Range<usize>)>>,
    /// Slices that must be owned meanwhile.
    watched: AtomicPtr<Slices<Tiny>>,
}

impl<const ABILITIES: u32> Noting<ABILITIES> {
    fn note(&self, commits: bool, start: NonNull<u8>, size: usize) -> bool {
        let first = start.addr().get() - self.start.load(Ordering::Relaxed);
        assert!(
            first.is_multiple_of(Self::OS_PAGE_SIZE.max(SLICE)) && size.is_multiple_of(Self::OS_PAGE_SIZE.max(SLICE)) && size > 0
        );
        let run = first / SLICE..(first + size) / SLICE;
        // SAFETY: null, or slices that are there.
        let watched = unsafe { self.watched.load(Ordering::Relaxed).as_ref() };
        assert!(watched.is_none_or(|slices| slices.free().is_clear(run.clone())), "A1");
        self.calls.lock().unwrap().push((commits, run));
        !self.refuses.load(Ordering::Relaxed)
    }

    /// The calls since the last time.
    fn take(&self) -> Vec<(bool, Range<usize>)> {
        core::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}

// SAFETY: hands out nothing.
unsafe impl<const ABILITIES: u32> PageSource for Noting<ABILITIES> {
    const COMMITS: bool = ABILITIES & COMMITS != 0;
    const DECOMMITS: bool = ABILITIES & DECOMMITS != 0;
    const FRESH_IS_ZERO: bool = ABILITIES & FRESH_IS_ZERO != 0;
    const DECOMMITTED_IS_ZERO: bool = ABILITIES & DECOMMITTED_IS_ZERO != 0;
    const OS_PAGE_SIZE: usize = if ABILITIES & OS_PAGES != 0 { PAGE } else { 1 };

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    unsafe fn commit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(true, start, size)
    }

    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        self.note(false, start, size)
    }
}

fn tables_for(capacity: usize) -> NonNull<AtomicUsize> {
    memory_that_stays(Slices::<Tiny>::table_words(capacity) * size_of::<usize>(), align_of::<usize>()).cast()
}

/// Slices that stay, with memory for all of them: slice 0 is the `skew`th behind a multiple of 1 KiB.
fn slices<const ABILITIES: u32>(capacity: usize, set_aside: usize, skew: usize) -> (Noting<ABILITIES>, Slices<Tiny>) {
    let bytes = (capacity + skew) * SLICE;
    let (memory, tables) = (memory_that_stays(bytes, 1024), tables_for(capacity));
    // SAFETY: inside the memory; the tables are as long as they should be.
    let slices = unsafe { Slices::new(memory.add(skew * SLICE), capacity, set_aside, tables) };
    let source = Noting { start: slices.start().into(), ..Noting::default() };
    slices.extend_to::<Noting<ABILITIES>>(capacity);
    (source, slices)
}

/// The runs of free slices.
fn free(slices: &Slices<Tiny>) -> Vec<Range<usize>> {
    let mut from = 0;
    core::iter::from_fn(|| slices.free().next_run(from).inspect(|run| from = run.end)).collect()
}

#[test]
fn a_run_is_as_long_as_its_bytes_and_whole_os_pages() {
    for (bytes, slices, in_pages) in
        [(1, 1, 4), (SLICE, 1, 4), (SLICE + 1, 2, 4), (PAGE, 4, 4), (PAGE + 1, 5, 8), (2 * PAGE, 8, 8)]
    {
        assert_eq!((run_for::<Noting<0>, Tiny>(bytes), run_for::<Noting<OS_PAGES>, Tiny>(bytes)), (slices, in_pages));
    }
}

#[test]
fn an_address_is_in_a_slice_from_the_first_byte_to_the_last() {
    let (_, slices) = slices::<0>(10, 0, 1);
    let (start, end) = (slices.start(), slices.start() + 10 * SLICE);
    let found = |address: usize| slices.index_of(address);
    assert_eq!(
        (found(start - 1), found(start), found(start + SLICE - 1), found(start + SLICE)),
        (None, Some(0), Some(0), Some(1))
    );
    assert_eq!((found(end - 1), found(end), found(0), found(usize::MAX)), (Some(9), None, None, None));
    assert_eq!(slices.pointer(3).addr().get(), start + 3 * SLICE);
}

#[test]
fn memory_that_is_added_is_free_by_whole_os_pages() {
    let (_, slices) = slices::<OS_PAGES>(10, 0, 0);
    assert_eq!((slices.count(), slices.capacity(), free(&slices)), (8, 10, std::vec![0..8]));
    let (source, slices) = self::slices::<0>(10, 0, 0);
    let (first, tables) = (slices.pointer(0), tables_for(10));
    // SAFETY: the same memory, with other tables.
    let growing = unsafe { Slices::<Tiny>::new(first, 10, 0, tables) };
    assert_eq!((growing.count(), free(&growing)), (0, std::vec![]));
    growing.extend_to::<Noting<0>>(3);
    assert!(growing.index_of(growing.start() + 3 * SLICE).is_none());
    assert_eq!(growing.claim(&source, 2, 1).unwrap().run, 0..2);
    growing.extend_to::<Noting<0>>(20);
    assert_eq!((growing.count(), free(&growing)), (10, std::vec![2..10]));
}

#[test]
fn runs_start_at_multiples_of_their_alignment() {
    for skew in 0..8 {
        let (source, slices) = slices::<0>(32, 0, skew);
        for (align, len) in [(PAGE, 3), (2 * PAGE, 5), (SLICE, 1), (1, 1)] {
            let starts = |run: &Range<usize>| (slices.start() + run.start * SLICE) % align;
            let low = slices.claim(&source, len, align).expect("room").run;
            let high = slices.claim_last(&source, len, align).expect("room").run;
            assert_eq!((low.len(), high.len(), starts(&low), starts(&high)), (len, len, 0, 0));
            // Nothing between them and the ends is free and fits.
            let first = (0..32).find(|slice| (slices.start() + slice * SLICE).is_multiple_of(align)).unwrap();
            let last = (0..=32 - len).rfind(|slice| (slices.start() + slice * SLICE).is_multiple_of(align)).unwrap();
            assert_eq!((low.start, high.start), (first, last), "{align} from {skew} on");
            assert!(slices.release(low) && slices.release(high));
        }
    }
    // An OS page at least, whatever was asked for.
    let (source, slices) = slices::<OS_PAGES>(16, 0, 0);
    assert!(slices.claim_exactly(&source, 0..1).is_some() && slices.claim_exactly(&source, 15..16).is_some());
    assert_eq!((slices.claim(&source, 4, 1).unwrap().run, slices.claim_last(&source, 4, 1).unwrap().run), (4..8, 8..12));
}

#[test]
fn the_last_run_is_the_highest_that_is_long_enough() {
    let (source, slices) = slices::<0>(200, 0, 0);
    // Free: 0..3, 100..103, 150..152, 199..200.
    for taken in [3..100, 103..150, 152..199] {
        assert!(slices.claim_exactly(&source, taken).is_some());
    }
    let last = |len| slices.claim_last(&source, len, 1).map(|claimed| claimed.run);
    assert_eq!(last(3), Some(100..103));
    assert_eq!((last(2), last(2), last(2)), (Some(150..152), Some(1..3), None));
    assert_eq!((last(1), last(1), last(1)), (Some(199..200), Some(0..1), None));
}

/// What was set aside for metadata at the end is taken last.
#[test]
fn what_is_set_aside_is_taken_when_there_is_no_other() {
    let (source, slices) = slices::<0>(20, 6, 0);
    assert_eq!(slices.claim_last(&source, 2, 1).unwrap().run, 18..20);
    let claim = |len| slices.claim(&source, len, 1).map(|claimed| claimed.run);
    assert_eq!((claim(10), claim(5), claim(4)), (Some(0..10), Some(10..15), None));
    assert_eq!((claim(3), claim(1)), (Some(15..18), None));
    // Also where it would fit better.
    let (source, slices) = self::slices::<0>(20, 6, 0);
    assert!(slices.claim_exactly(&source, 12..16).is_some() && slices.claim_exactly(&source, 18..20).is_some());
    assert_eq!(slices.claim(&source, 2, 1).unwrap().run, 0..2);
}

/// The hints lead to the lowest run that is long enough, whatever was claimed and released before.
#[test]
fn the_lowest_run_is_claimed() {
    let (source, slices) = slices::<0>(300, 0, 0);
    let claim = |len| slices.claim(&source, len, 1).map(|claimed| claimed.run);
    assert_eq!((claim(100), claim(7), claim(100)), (Some(0..100), Some(100..107), Some(107..207)));
    for released in [60..61, 20..22, 40..44] {
        assert!(slices.release(released));
    }
    assert_eq!((claim(3), claim(1), claim(2)), (Some(40..43), Some(43..44), Some(20..22)));
    assert_eq!((claim(2), claim(1)), (Some(207..209), Some(60..61)));
    // Two that are too short for it become one that is not.
    assert!(slices.release(10..12) && slices.release(14..16));
    assert_eq!(claim(6), Some(209..215));
    assert!(slices.release(12..14));
    assert_eq!(claim(6), Some(10..16));
    // Beyond the longest run that there is a hint for.
    assert!(slices.release(0..130));
    assert_eq!((claim(129), claim(130), claim(1)), (Some(0..129), None, Some(129..130)));
}

#[test]
fn a_run_is_given_back_once() {
    let (source, slices) = slices::<0>(20, 0, 0);
    let run = slices.claim(&source, 8, 1).unwrap().run;
    assert!(slices.release(run.clone()));
    assert!(!slices.release(run.clone()) && !slices.release(7..9));
    assert!(slices.claim_exactly(&source, 3..9).is_some() && slices.claim_exactly(&source, 8..10).is_none());
    assert_eq!(free(&slices), [0..3, 9..20]);
}

/// Memory is committed once, and what was refused is free as before.
#[test]
fn what_is_not_committed_is_committed() {
    let (source, slices) = slices::<{ COMMITS | OS_PAGES }>(40, 0, 0);
    assert_eq!(slices.claim(&source, 8, 1).unwrap().run, 0..8);
    assert_eq!(source.take(), [(true, 0..8)]);
    assert!(slices.claim_exactly(&source, 12..16).is_some() && slices.claim_exactly(&source, 24..28).is_some());
    assert_eq!(source.take(), [(true, 12..16), (true, 24..28)]);
    for run in [0..8, 12..16, 24..28] {
        assert!(slices.release(run));
    }
    // The first gap is refused.
    source.refuse(true);
    assert!(slices.claim_exactly(&source, 4..32).is_none());
    assert_eq!((source.take(), slices.refusals(), free(&slices)), (std::vec![(true, 8..12)], 1, std::vec![0..40]));
    assert_eq!(slices.undone().count(), 1, "others may have missed them");
    source.refuse(false);
    assert_eq!(slices.claim_exactly(&source, 4..32).unwrap().run, 4..32);
    assert_eq!(source.take(), [(true, 8..12), (true, 16..24), (true, 28..32)]);
    assert!(slices.release(4..32) && slices.claim_exactly(&source, 0..32).is_some());
    assert_eq!((source.take(), slices.refusals()), (std::vec![], 1));
    assert_eq!(slices.committed().count(), 32);
}

/// Also the last slice, where the tables have another word for it.
#[test]
fn all_of_a_run_is_committed_once() {
    let (source, slices) = slices::<COMMITS>(2 * WORD_BITS, 0, 0);
    let end = WORD_BITS + 1;
    for (run, commits) in [(0..end, Some(0..end)), (0..end, None), (0..end + 1, Some(end..end + 1))] {
        assert!(slices.claim_exactly(&source, run.clone()).is_some() && slices.release(run));
        assert_eq!(source.take(), Vec::from_iter(commits.map(|run| (true, run))));
    }
}

#[test]
fn memory_is_known_to_be_zero_where_nobody_wrote() {
    /// Whether it is at first, when it was released, and when it was decommitted.
    fn zeroed<const ABILITIES: u32>() -> [bool; 4] {
        let (source, slices) = slices::<ABILITIES>(20, 0, 0);
        let claim = |run: Range<usize>| slices.claim_exactly(&source, run).expect("free").zeroed;
        let first = claim(0..4);
        assert!(slices.release(0..4));
        let (again, before) = (claim(3..5), claim(1..3));
        assert!(slices.release(1..5));
        slices.purge(&source, false, usize::MAX);
        [first, again, before, claim(2..4)]
    }
    assert_eq!(zeroed::<0>(), [false; 4]);
    assert_eq!(zeroed::<FRESH_IS_ZERO>(), [true, false, false, false]);
    assert_eq!(zeroed::<{ FRESH_IS_ZERO | COMMITS }>(), [true, false, false, false]);
    assert_eq!(zeroed::<{ FRESH_IS_ZERO | COMMITS | DECOMMITS }>(), [false; 4], "nobody knows what was decommitted");
    assert_eq!(zeroed::<{ FRESH_IS_ZERO | DECOMMITS | DECOMMITTED_IS_ZERO }>(), [true, false, false, true]);
    assert_eq!(zeroed::<{ COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO }>(), [false; 4]);
}

#[test]
fn a_purge_gives_back_what_is_free_and_committed() {
    let (source, slices) = slices::<{ COMMITS | DECOMMITS }>(40, 0, 0);
    for run in [2..6, 6..10, 20..21, 30..35] {
        assert!(slices.claim_exactly(&source, run).is_some());
    }
    for run in [2..6, 7..10, 20..21, 33..35] {
        assert!(slices.release(run));
    }
    source.take();
    source.refuse(true);
    assert_eq!(slices.purge(&source, false, usize::MAX), 0);
    assert_eq!(source.take().len(), 4);
    source.refuse(false);
    assert_eq!(slices.purge(&source, false, usize::MAX), 10 * SLICE);
    assert_eq!(source.take(), [(false, 2..6), (false, 7..10), (false, 20..21), (false, 33..35)]);
    assert_eq!((free(&slices), slices.committed().count()), (std::vec![0..6, 7..30, 33..40], 4));
    assert_eq!((slices.purge(&source, false, usize::MAX), source.take()), (0, std::vec![]));
    // One that cannot is not asked.
    let (source, slices) = self::slices::<COMMITS>(4, 0, 0);
    assert!(slices.claim_exactly(&source, 0..2).is_some() && slices.release(0..2));
    source.take();
    assert_eq!((slices.purge(&source, false, usize::MAX), source.take()), (0, std::vec![]));
}

/// Others find what is free while much is given back.
#[test]
fn a_long_run_is_given_back_in_parts() {
    let count = 2 * PURGE_STEP + 10;
    let (source, slices) = slices::<DECOMMITS>(count, 0, 0);
    assert!(slices.claim_exactly(&source, 1..count).is_some() && slices.release(1..count));
    assert_eq!(slices.purge(&source, false, usize::MAX), (count - 1) * SLICE);
    let parts = [1..PURGE_STEP + 1, PURGE_STEP + 1..2 * PURGE_STEP + 1, 2 * PURGE_STEP + 1..count];
    assert_eq!(source.take(), parts.map(|part| (false, part)));
    assert_eq!(slices.free().run_at(0, count), count);
}

/// Only what was free throughout, from one purge of aged slices to the next.
#[test]
fn a_purge_of_aged_slices_leaves_those_that_were_used_meanwhile() {
    let (source, slices) = slices::<{ COMMITS | DECOMMITS }>(40, 0, 0);
    let used = |run: Range<usize>| assert!(slices.claim_exactly(&source, run.clone()).is_some() && slices.release(run));
    used(0..10);
    used(20..30);
    let owned = slices.claim_exactly(&source, 25..28).expect("free").run;
    source.take();
    assert_eq!((slices.purge(&source, true, usize::MAX), source.take()), (0, std::vec![]));
    used(4..6);
    assert!(slices.release(owned));
    assert_eq!(slices.purge(&source, true, usize::MAX), 15 * SLICE);
    assert_eq!(source.take(), [(false, 0..4), (false, 6..10), (false, 20..25), (false, 28..30)]);
    // Now they have aged as well; what was given back, and is used again, has not.
    used(0..2);
    source.take();
    assert_eq!(slices.purge(&source, true, usize::MAX), 5 * SLICE);
    assert_eq!(source.take(), [(false, 4..6), (false, 25..28)]);
    assert_eq!((slices.purge(&source, true, usize::MAX), slices.purge(&source, true, usize::MAX)), (2 * SLICE, 0));
    assert_eq!(slices.free().run_at(0, 40), 40);
}

/// A claim that ends as if it had not been, though others may have missed the slices meanwhile.
#[test]
fn claims_for_nothing_are_counted() {
    let (source, slices) = slices::<DECOMMITS>(3 * WORD_BITS, 0, 0);
    let used = slices.claim_exactly(&source, WORD_BITS..WORD_BITS + 1).expect("free").run;
    assert!(slices.claim_exactly(&source, WORD_BITS - 4..WORD_BITS + 4).is_none());
    assert_eq!((slices.undone().count(), free(&slices)), (1, std::vec![0..WORD_BITS, WORD_BITS + 1..3 * WORD_BITS]));
    assert!(slices.claim_exactly(&source, WORD_BITS..2 * WORD_BITS + 1).is_none());
    assert!(slices.claim(&source, 4 * WORD_BITS, 1).is_none());
    assert_eq!(slices.undone().count(), 1, "nothing was claimed on the way");
    slices.release(used);
    source.refuse(true);
    assert_eq!((slices.purge(&source, false, usize::MAX), slices.undone().count()), (0, 2), "a source that takes nothing back");
    source.refuse(false);
    assert_eq!((slices.purge(&source, false, usize::MAX), slices.undone().count()), (SLICE, 2));
}

/// The search for a run begins behind what is taken or too short, and sees what has become long enough.
#[test]
fn hints_pass_what_is_too_short() {
    let (source, slices) = slices::<0>(600, 0, 0);
    assert!(slices.claim_exactly(&source, 0..300).is_some());
    for released in [10..11, 20..22, 40..44, 60..70, 100..180] {
        assert!(slices.release(released));
    }
    let begins = |lens: [usize; 3]| lens.map(|len| slices.search_from(len));
    assert_eq!(begins([1, 2, 3]), [10, 20, 20]);
    assert_eq!(begins([4, 7, 8]), [40, 40, 60]);
    assert_eq!(begins([16, 64, 127]), [100; 3]);
    assert_eq!(begins([128, 129, 500]), [300; 3], "the longest that there is a hint for");
    assert!(slices.release(5..6));
    let hints = [0, 1, 6].map(|shift: usize| slices.lowest[shift].load(Ordering::Relaxed));
    assert_eq!(hints, [5, 20, 100], "a slice is no reason to look for long runs there again");
    assert!(slices.release(70..100));
    assert_eq!(begins([16, 64, 128]), [60, 60, 300]);
    assert!(slices.release(180..188));
    assert_eq!(begins([64, 128, 129]), [60; 3], "128 in a row");
}

/// A run at the end that is not aligned, in front of which there is nothing.
#[test]
fn no_run_starts_before_the_first_slice() {
    let (source, slices) = slices::<0>(20, 20, 1);
    assert!(slices.claim_exactly(&source, 4..20).is_some());
    assert!(slices.claim_last(&source, 3, 8 * SLICE).is_none());
    assert_eq!(slices.claim(&source, 4, 1).map(|claimed| claimed.run), Some(0..4), "all are set aside");
}

/// While the source has them they are nobody's, and what it did not take is not aged by that.
#[test]
fn slices_are_owned_while_they_are_given_back() {
    let (source, slices) = slices::<DECOMMITS>(20, 0, 0);
    assert!(slices.claim_exactly(&source, 2..10).is_some() && slices.release(2..10));
    source.watched.store(core::ptr::from_ref(&slices).cast_mut(), Ordering::Relaxed);
    source.refuse(true);
    assert_eq!(slices.purge(&source, false, usize::MAX), 0);
    source.refuse(false);
    assert_eq!((slices.purge(&source, true, usize::MAX), slices.purge(&source, true, usize::MAX)), (0, 8 * SLICE));
}

#[test]
#[cfg_attr(miri, ignore = "too much memory")]
fn a_long_run_goes_back_as_it_is_released() {
    const LEN: usize = LONG / SLICE;
    let (source, slices) = slices::<{ COMMITS | DECOMMITS }>(LEN + 1, 0, 0);
    source.watched.store((&raw const slices).cast_mut(), Ordering::Relaxed);
    for (len, refuses, goes_back) in [(LEN - 1, false, false), (LEN, true, false), (LEN, false, true)] {
        let run = slices.claim(&source, len, 1).expect("room").run;
        source.take();
        source.refuse(refuses);
        slices.release_to(&source, run.clone());
        source.refuse(false);
        let calls = if len < LEN { std::vec![] } else { std::vec![(false, run.clone())] };
        assert_eq!(source.take(), calls);
        assert_eq!(slices.committed().is_clear(run), goes_back, "{len} slices");
        assert_eq!(free(&slices), std::vec![0..LEN + 1]);
    }
}
