use std::vec;
use std::vec::Vec;

use super::*;

mod first;
mod made;

/// What memory holds before a chunk is made.
const DIRT: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Runs `work` with a chunk in so many dirty bytes, a multiple of 8.
fn with_chunk(bytes: usize, work: impl FnOnce(&Chunk)) {
    let mut memory = vec![DIRT; bytes / 8];
    let region = Region { start: NonNull::new(memory.as_mut_ptr().cast()).expect("an array"), size: bytes };
    let chunk = Chunk::create(region).expect("room");
    // SAFETY: made just now, in memory that stays until the end of this function.
    work(unsafe { chunk.as_ref() });
}

impl Chunk {
    /// The address of a granule.
    fn at(&self, granule: usize) -> usize {
        self.start + granule * GRANULE
    }

    /// [`claim`](Self::claim), in granules.
    fn claim_granules(&self, len: usize, align: usize) -> Option<usize> {
        self.claim(len, align).map(|address| (address.get() - self.start) / GRANULE)
    }

    /// [`claim_anywhere`](Self::claim_anywhere), in granules.
    fn claim_granules_anywhere(&self, len: usize, align: usize) -> Option<usize> {
        self.claim_anywhere(len, align).map(|address| (address.get() - self.start) / GRANULE)
    }

    /// Claims all granules, and releases these runs.
    fn leave_free(&self, runs: &[Range<usize>]) {
        let free: Vec<_> = core::iter::successors(self.free().next_run(0), |run| self.free().next_run(run.end)).collect();
        free.into_iter().for_each(|run| assert!(self.claim_exactly(run)));
        runs.iter().for_each(|run| self.release(run.clone()));
    }

    /// Whether there is nothing to claim, and no hint is left of what there was: who finds nothing at a hint clears it, and the next one its class.
    fn is_forgotten(&self) -> bool {
        [(); 2].map(|()| self.claim(1, 8)) == [None; 2] && self.has_no_hints()
    }

    /// Whether no hint is left.
    fn has_no_hints(&self) -> bool {
        let is_zero = |word: &AtomicUsize| word.load(Ordering::Relaxed) == 0;
        is_zero(&self.classes) && (0..CLASSES).all(|class| self.hints(class).iter().all(is_zero))
    }

    fn forget_hints(&self) {
        self.classes.store(0, Ordering::Relaxed);
        (0..CLASSES).flat_map(|class| self.hints(class)).for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

#[test]
fn hints_lead_to_all_free_runs() {
    with_chunk(if cfg!(miri) { 2400 } else { 8000 }, |chunk| {
        let mut blocks = Vec::new();
        let mut random = 1_u32;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(0x5851_f42d).wrapping_add(12345);
            (random >> 8) as usize % limit
        };
        for _ in 0..if cfg!(miri) { 80 } else { 20_000 } {
            let len = [1, 2, 5, 30, 70][below(5)];
            match if below(2) == 0 { chunk.claim(len, 8 << below(4)) } else { None } {
                Some(address) => blocks.push((address.get(), len)),
                None if blocks.is_empty() => {}
                None => {
                    let (address, len) = blocks.swap_remove(below(blocks.len()));
                    chunk.release(chunk.run_at(address, len).expect("a block of this chunk"));
                }
            }
            chunk.assert_has_hints();
        }
        blocks.into_iter().for_each(|(address, len)| chunk.release(chunk.run_at(address, len).expect("a block of this chunk")));
        chunk.classes.store(0, Ordering::Relaxed);
        assert_eq!(chunk.claim(chunk.count, 8), None, "all hints are lost");
        assert_eq!(chunk.claim_anywhere(chunk.count + 1, 8), None);
        chunk.assert_has_hints();
        assert!(chunk.claim(chunk.count, 8).is_some());
    });
}

#[test]
fn runs_are_inside_the_chunk() {
    with_chunk(2400, |chunk| {
        let (start, count) = (chunk.start, chunk.count);
        assert_eq!(chunk.run_at(start, count), Some(0..count));
        assert_eq!(chunk.run_at(start + GRANULE, count - 1), Some(1..count));
        assert_eq!(chunk.run_at(start + GRANULE, count), None, "beyond the end");
        assert_eq!(chunk.run_at(start + GRANULE, usize::MAX / GRANULE), None, "far beyond the end");
        assert_eq!(chunk.run_at(start + (count - 1) * GRANULE, 1), Some(count - 1..count));
        assert_eq!(chunk.run_at(start + count * GRANULE, 1), None, "behind the end");
        assert_eq!(chunk.run_at(start + count * GRANULE, 0), None, "behind the end");
        assert_eq!(chunk.run_at(start - GRANULE, 1), None, "before the start");
        assert_eq!(chunk.run_at(start + 1, 1), None, "in a granule");
        assert!(!chunk.claim_exactly(count - 1..count + 1), "beyond the end");
        assert_eq!(chunk.free().count(), count);
    });
}

#[test]
fn a_run_that_is_too_short_is_not_claimed() {
    with_chunk(2400, |chunk| {
        for len in (1..70).step_by(if cfg!(miri) { 8 } else { 1 }) {
            // One run of this length, between used granules; those of a class differ in length.
            let from = chunk.claim(chunk.count, 8).expect("all of it");
            let run = chunk.run_at(from.get() + 3 * GRANULE, len).expect("inside");
            chunk.release(run.clone());
            assert_eq!(chunk.claim(len + 1, 8), None, "{len}");
            assert_eq!(chunk.claim_anywhere(len + 1, 8), None, "{len}");
            assert!(!chunk.claim_exactly(run.start..run.end + 1), "{len}");
            assert_eq!(chunk.claim(len, 8).map(NonZeroUsize::get), Some(from.get() + 3 * GRANULE), "{len}");
            chunk.release(0..chunk.count);
        }
    });
}

#[test]
fn each_run_is_of_one_class() {
    for class in 0..CLASSES - 1 {
        for len in shortest_of(class)..shortest_of(class + 1) {
            assert_eq!(class_of(len), class, "a run of {len}");
        }
    }
    assert_eq!((class_of(LONGEST), class_of(usize::MAX)), (CLASSES - 1, CLASSES - 1));
}

#[test]
fn of_runs_that_are_long_enough_a_short_one_at_a_low_address_is_taken() {
    with_chunk(8000, |chunk| {
        chunk.leave_free(&[3..80, 100..105, 200..205, 300..330]);
        assert_eq!([5; 2].map(|len| chunk.claim_granules(len, 8)), [Some(100), Some(200)], "not cut off a long one");
        assert_eq!(chunk.claim_granules(5, 8), Some(300), "then off the shortest that there is");
        assert_eq!(chunk.claim_granules(25, 8), Some(305), "what was left of it");
        chunk.assert_has_hints();
        assert_eq!(chunk.claim_granules(78, 8), None);
        assert_eq!(chunk.claim_granules(77, 8), Some(3));
        assert!(chunk.is_forgotten());
    });
}

#[test]
fn aligned_blocks_start_where_they_can_and_leave_what_is_before_them_free() {
    with_chunk(8000, |chunk| {
        // Granules that lie well.
        let well = (70..chunk.count).find(|granule| chunk.at(*granule).is_multiple_of(512)).expect("there is one");
        for (free, expected) in [
            (well - 5..well + 4, Some(well)),
            (well..well + 4, Some(well)),
            (well - 1..well + 70, Some(well)),
            (well + 1..well + 67, None),
            (well + 1..well + 68, Some(well + 64)),
            (well - 63..well + 3, None),
        ] {
            for claim in [Chunk::claim_granules, Chunk::claim_granules_anywhere] {
                chunk.leave_free(core::slice::from_ref(&free));
                assert_eq!(claim(chunk, 4, 512), expected, "{free:?} in {:#x}", chunk.start);
                chunk.assert_has_hints();
                assert_eq!(chunk.free().count(), free.len() - 4 * usize::from(expected.is_some()));
                let front = expected.unwrap_or(free.end) - free.start;
                assert_eq!(
                    chunk.claim_granules(front.max(1), 8),
                    (front > 0).then_some(free.start).or(chunk.free().next_run(0).map(|run| run.start))
                );
            }
        }
    });
}

/// A run is known to its end, if that is where the alignment leads.
#[test]
fn an_aligned_block_is_found_far_into_a_run() {
    with_chunk(3 * 4096, |chunk| {
        let well = (500..chunk.count).find(|granule| chunk.at(*granule).is_multiple_of(4096)).expect("there is one");
        for claim in [Chunk::claim_granules, Chunk::claim_granules_anywhere] {
            chunk.leave_free(core::slice::from_ref(&(well - 500..well + 4)));
            assert_eq!(claim(chunk, 4, 4096), Some(well));
        }
    });
}

#[test]
fn a_chunk_of_one_word_is_looked_at_and_nothing_is_written_where_blocks_are() {
    for bytes in [600, 8000] {
        with_chunk(bytes, |chunk| {
            chunk.leave_free(core::slice::from_ref(&(chunk.count - 3..chunk.count)));
            chunk.forget_hints();
            assert_eq!(chunk.claim_granules_anywhere(3, 8), Some(chunk.count - 3));
            // SAFETY: all granules are this test's.
            let granules = unsafe { chunk.tables.as_ptr().cast::<u8>().add(chunk.start - chunk.tables.addr().get()) };
            // SAFETY: as above.
            unsafe { granules.write_bytes(0xff, chunk.count * GRANULE) };
            assert_eq!((chunk.claim(1, 8), chunk.claim_anywhere(1, 8)), (None, None));
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(granules, chunk.count * GRANULE) };
            assert!(*bytes == vec![0xff; bytes.len()]);
        });
    }
}

/// Hints that lead to runs of other classes are cleared, too, so that they mislead once.
#[test]
fn who_finds_nothing_long_enough_at_a_hint_clears_it() {
    with_chunk(8000, |chunk| {
        let (w, class) = (WORD_BITS, class_of(8));
        // In the first word the last run goes on in the next one.
        for others in [[4..6, w + 4..w + 6], [w - 1..w + 1, 2 * w - 2..2 * w + 4], [4..5, 4..4], [w - 1..w + 1, 4..4]] {
            chunk.leave_free(&[8..16, w + 8..w + 16]);
            assert!(chunk.claim_exactly(8..16) && chunk.claim_exactly(w + 8..w + 16));
            others.iter().filter(|run| !run.is_empty()).for_each(|run| chunk.release(run.clone()));
            assert_eq!(chunk.claim(8, 8), None);
            assert!(chunk.hints(class).iter().all(|word| word.load(Ordering::Relaxed) == 0), "{others:?}");
            chunk.assert_has_hints();
        }
    });
}

#[test]
fn what_no_chunk_can_have_is_refused() {
    with_chunk(2400, |chunk| {
        for (len, align) in
            [(usize::MAX, 8), (usize::MAX / GRANULE, 16), (1, 1 << (usize::BITS - 1)), (usize::MAX - 1, 1 << (usize::BITS - 1))]
        {
            assert_eq!((chunk.claim(len, align), chunk.claim_anywhere(len, align)), (None, None), "{len} at {align}");
        }
        assert_eq!(chunk.free().count(), chunk.count);
        chunk.assert_has_hints();
    });
}

/// Runs that go on in other words, and in other words of hints.
#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn runs_are_found_wherever_they_lie() {
    let group = WORD_BITS * WORD_BITS;
    with_chunk(if cfg!(miri) { 1 } else { 3 } * group * GRANULE + 8000, |chunk| {
        let edges = [0, WORD_BITS, 2 * WORD_BITS, group, chunk.count];
        let mut lens = vec![1, 2, 3, 5, 63, 64, 65, 128, 200, LONGEST - 1, LONGEST, LONGEST + 1, 600];
        lens.extend(if cfg!(miri) { None } else { Some(group + 100) });
        let places = edges.into_iter().flat_map(|edge| [(edge, 0), (edge, 1), (edge, 2)]);
        for (edge, part) in places {
            for &len in &lens {
                // Behind the edge, before it, and across it.
                let Some(start) = edge.checked_sub([0, len, len / 2][part]) else { continue };
                let run = start..start + len;
                if run.end > chunk.count {
                    continue;
                }
                chunk.leave_free(core::slice::from_ref(&run));
                assert_eq!(chunk.claim_granules(len + 1, 8), None, "{run:?}");
                chunk.assert_has_hints();
                assert_eq!(chunk.claim_granules(len, 8), Some(start), "{run:?}");
                assert!(chunk.is_forgotten(), "{run:?}");
                chunk.release(run.clone());
                chunk.forget_hints();
                assert_eq!((chunk.claim(1, 8), chunk.claim_granules_anywhere(len + 1, 8)), (None, None), "{run:?}");
                chunk.assert_has_hints();
                chunk.forget_hints();
                assert_eq!(chunk.claim_granules_anywhere(len, 8), Some(start), "{run:?}");
                // In pieces.
                chunk.leave_free(core::slice::from_ref(&run));
                let piece = len.div_ceil(3);
                assert_eq!(chunk.claim_granules(piece, 8), Some(start), "{run:?}");
                chunk.assert_has_hints();
                if piece < len {
                    assert!(chunk.claim_exactly(run.end - 1..run.end), "{run:?}");
                    assert_eq!(chunk.free().next_run(0), (len - piece > 1).then_some(start + piece..run.end - 1), "{run:?}");
                    chunk.release(run.end - 1..run.end);
                }
                chunk.release(start..start + piece);
                chunk.assert_has_hints();
                assert_eq!(chunk.claim_granules(len, 8), Some(start), "{run:?}");
            }
        }
    });
}

/// Of several runs in a word only some are of a class.
#[test]
fn runs_of_other_classes_in_the_same_word_are_passed() {
    with_chunk(2400, |chunk| {
        let runs = [64..68, 70..72, 73..74, 80..92, 100..101, 120..140, 180..200];
        for order in 0..runs.len() {
            chunk.leave_free(&runs);
            let mut runs = runs.clone();
            runs.rotate_left(order);
            for run in runs {
                let first = [&(64..68), &(70..72), &(73..74), &(80..92), &(100..101), &(120..140), &(180..200)]
                    .into_iter()
                    .find(|other| other.len() == run.len() && chunk.free().run_at(other.start, 99) > 0)
                    .expect("it is still free");
                assert_eq!(chunk.claim_granules(run.len(), 8), Some(first.start), "{run:?}");
                chunk.assert_has_hints();
            }
            assert!(chunk.is_forgotten());
        }
    });
}

#[test]
fn free_granules_are_counted_between_addresses() {
    with_chunk(2400, |chunk| {
        let (count, between) = (chunk.count, |from: usize, to: usize| chunk.free_between(from, to));
        let (start, end) = (chunk.start, chunk.at(count));
        assert_eq!([between(start, end), between(0, usize::MAX), between(start - 9, end + 9)], [count; 3]);
        assert!(chunk.claim_exactly(10..13));
        assert_eq!(
            [between(start, end), between(chunk.at(9), chunk.at(14)), between(chunk.at(10), chunk.at(13))],
            [count - 3, 2, 0]
        );
        assert_eq!([between(chunk.at(20), chunk.at(21)), between(chunk.at(20), chunk.at(20) + 1)], [1, 1], "it starts there");
        assert_eq!([between(chunk.at(20) + 1, chunk.at(21)), between(0, start), between(end, usize::MAX)], [0; 3]);
    });
}
