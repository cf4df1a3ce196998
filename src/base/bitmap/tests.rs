use super::*;
use std::vec::Vec;

const CANDIDATES: usize = 16;

/// Words with all of the first `len` bits set.
fn full(len: usize) -> Vec<AtomicUsize> {
    let bits = |index: usize| mask(0, len.saturating_sub(index * WORD_BITS).min(WORD_BITS));
    (0..words_for(len)).map(|index| AtomicUsize::new(bits(index))).collect()
}

#[test]
fn masks_and_word_counts() {
    assert_eq!((words_for(0), words_for(1), words_for(WORD_BITS), words_for(WORD_BITS + 1)), (0, 1, 1, 2));
    assert_eq!((mask(3, 0), mask(0, 1), mask(3, 2), mask(WORD_BITS - 1, 1)), (0, 1, 0b11000, 1 << (WORD_BITS - 1)));
    assert_eq!(mask(0, WORD_BITS), usize::MAX);
}

#[test]
fn the_lowest_free_bits_are_claimed() {
    let word = AtomicUsize::new(0b1011_0110);
    assert_eq!(claim_lowest(&word, 2), 0b110);
    assert_eq!(claim_lowest(&word, 1), 0b1_0000);
    assert_eq!(claim_lowest(&word, 7), 0b1010_0000, "as many as there are");
    assert_eq!(claim_lowest(&word, 1), 0);
    // Half a word is near enough to more; all of it is what a page with one word has.
    for (want, claimed) in
        [(usize::MAX, WORD_BITS), (WORD_BITS, WORD_BITS), (WORD_BITS - 1, WORD_BITS / 2), (WORD_BITS / 2 - 1, WORD_BITS / 2 - 1)]
    {
        assert_eq!(claim_lowest(&AtomicUsize::new(usize::MAX), want), mask(0, claimed), "{want} are wanted");
    }
}

#[test]
fn claims_are_never_bigger_than_wanted_and_lose_nothing() {
    for bits in
        [usize::MAX, usize::MAX << 1, usize::MAX << (WORD_BITS / 2), usize::MAX / 3, usize::MAX / 17, 1, 1 << (WORD_BITS - 1)]
    {
        for want in (1..=WORD_BITS).step_by(if cfg!(miri) { 9 } else { 1 }).chain([usize::MAX]) {
            let word = AtomicUsize::new(bits);
            let mut seen = 0;
            loop {
                let claimed = claim_lowest(&word, want);
                if claimed == 0 {
                    break;
                }
                assert!(claimed.count_ones() as usize <= want, "{want} of {bits:#x}");
                assert_eq!(claimed & seen, 0);
                assert!(claimed > seen, "the lowest first");
                seen |= claimed;
                assert_eq!(word.load(Ordering::Relaxed), bits & !seen);
            }
            assert_eq!(seen, bits, "{want} of {bits:#x}");
        }
    }
}

#[test]
fn exact_claims_take_all_or_nothing() {
    let word = AtomicUsize::new(0b1110);
    assert!(!claim_exactly(&word, 0b0011));
    assert_eq!(word.load(Ordering::Relaxed), 0b1110);
    assert!(claim_exactly(&word, 0b0110));
    assert!(!claim_exactly(&word, 0b0110));
    assert_eq!(word.load(Ordering::Relaxed), 0b1000);
}

#[test]
fn runs_are_claimed_across_words_and_given_back() {
    let len = 3 * WORD_BITS + 5;
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    let first = bitmap.claim_run(0, WORD_BITS + 3, 1, 0, CANDIDATES).unwrap();
    assert_eq!(first, 0..WORD_BITS + 3);
    assert!(bitmap.is_clear(first.clone()) && !bitmap.is_clear(0..first.end + 1));
    let second = bitmap.claim_run(0, 2 * WORD_BITS + 2, 1, 0, CANDIDATES).unwrap();
    assert_eq!(second, WORD_BITS + 3..len, "exactly what was left");
    assert_eq!((bitmap.count(), bitmap.claim_run(0, 1, 1, 0, CANDIDATES)), (0, None));
    assert!(bitmap.release(first.clone()));
    assert_eq!(bitmap.claim_run(0, WORD_BITS + 4, 1, 0, CANDIDATES), None, "one bit too long");
    assert_eq!(bitmap.claim_run(0, WORD_BITS + 3, 1, 0, CANDIDATES), Some(first));
    assert!(bitmap.release(0..len));
    assert_eq!(bitmap.count(), len);
}

#[test]
fn the_run_that_fits_best_is_claimed() {
    let len = 12 * WORD_BITS.max(64);
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    for gap in [9, 15, 20, 24] {
        bitmap.clear(gap..gap + 1);
    }
    // Free are 0..9, 10..15, 16..20, 21..24, and all from 25 on.
    assert_eq!(bitmap.claim_run(0, 4, 1, 0, CANDIDATES), Some(16..20), "exactly as long");
    assert_eq!(bitmap.claim_run(0, 4, 1, 0, CANDIDATES), Some(10..14), "a bit longer");
    assert_eq!(bitmap.claim_run(0, 4, 1, 0, CANDIDATES), Some(0..4), "before the last run, which is longer");
    assert_eq!(bitmap.claim_run(0, 6, 1, 0, CANDIDATES), Some(25..31));
    assert!(bitmap.release(10..14));
    assert_eq!(bitmap.claim_run(0, 2, 4, 0, CANDIDATES), Some(12..14), "the aligned part counts");
    bitmap.clear(0..len);
    bitmap.release(0..AMPLE + 2);
    bitmap.release(len - 2..len);
    assert_eq!(bitmap.claim_run(0, 2, 1, 0, CANDIDATES), Some(0..2), "a long run ends the search");
    assert_eq!(bitmap.claim_run(0, 2, 1, 0, CANDIDATES), Some(len - 2..len), "it is one bit too short for that now");
}

#[test]
fn no_run_reaches_beyond_the_length() {
    // The words have room for more bits than the bitmap, and all of them are set.
    let words = full(2 * WORD_BITS);
    let bitmap = Bitmap::new(&words, WORD_BITS + 1);
    assert_eq!(bitmap.claim_run(0, WORD_BITS + 2, 1, 0, CANDIDATES), None);
    assert_eq!(bitmap.claim_run(0, usize::MAX, 1, 0, CANDIDATES), None);
    assert_eq!(bitmap.claim_run(WORD_BITS + 1, 1, 1, 0, CANDIDATES), None);
    assert!(!bitmap.claim(WORD_BITS..WORD_BITS + 2));
    assert_eq!(bitmap.next_run(WORD_BITS), Some(WORD_BITS..WORD_BITS + 1));
    assert_eq!(bitmap.next_run(WORD_BITS + 1), None);
    assert_eq!(bitmap.first(2 * WORD_BITS).next_run(WORD_BITS), Some(WORD_BITS..WORD_BITS + 1));
    assert_eq!(bitmap.first(WORD_BITS).next_run(0), Some(0..WORD_BITS));
    assert_eq!((bitmap.run_at(WORD_BITS - 1, usize::MAX), bitmap.run_at(WORD_BITS + 2, 1)), (2, 0));
    assert_eq!(bitmap.run_at(3, 7), 7);
    assert_eq!(bitmap.claim_run(0, WORD_BITS + 1, 1, 0, CANDIDATES), Some(0..WORD_BITS + 1));
}

#[test]
fn runs_are_aligned_with_an_offset() {
    let len = 4 * WORD_BITS;
    for (align, offset) in [(1, 0), (2, 1), (8, 0), (8, 5), (16, 15), (WORD_BITS, 3), (2 * WORD_BITS, WORD_BITS + 1)] {
        for run_len in if cfg!(miri) {
            &[WORD_BITS / 2 + 1, WORD_BITS + 1][..]
        } else {
            &[1, 3, WORD_BITS / 2 + 1, WORD_BITS, WORD_BITS + 1]
        } {
            let run_len = *run_len;
            let words = full(len);
            let bitmap = Bitmap::new(&words, len);
            // Whatever is in the way, runs are aligned, disjoint, and as many as fit.
            bitmap.clear(7..8);
            let mut found = 0;
            while let Some(run) = bitmap.claim_run(0, run_len, align, offset, CANDIDATES) {
                assert_eq!(((run.start + offset) % align, run.len()), (0, run_len));
                found += 1;
            }
            let starts = (0..len).filter(|start| (start + offset) % align == 0);
            let mut expected = 0;
            let mut behind = 0;
            for start in starts {
                if start >= behind && start + run_len <= len && !(start..start + run_len).contains(&7) {
                    (expected, behind) = (expected + 1, start + run_len);
                }
            }
            assert_eq!(found, expected, "{run_len} at {align} with offset {offset}");
        }
    }
    let words = full(len);
    assert_eq!(Bitmap::new(&words, len).claim_run(0, 1, 1 << (usize::BITS - 1), 1, CANDIDATES), None, "no such start");
    // Far into a run that is not measured to its end.
    let words = full(8 * AMPLE);
    let far = Bitmap::new(&words, 8 * AMPLE).claim_run(0, AMPLE / 2, 4 * AMPLE, AMPLE / 3, CANDIDATES);
    assert_eq!(far.map(|run| run.start), Some(4 * AMPLE - AMPLE / 3));
    // The one start that fits lies in what was measured, the end of the run does not; the run begins at bit 0, or behind it.
    for first in [0, 1] {
        let words = full(2 * AMPLE);
        let bitmap = Bitmap::new(&words, AMPLE + 150);
        bitmap.clear(0..first);
        let only = bitmap.claim_run(0, 100, 2 * AMPLE, AMPLE - 50, CANDIDATES);
        assert_eq!(only, Some(AMPLE + 50..AMPLE + 150));
    }
}

#[test]
fn a_claim_that_fails_half_way_gives_back_what_it_took() {
    let len = 3 * WORD_BITS;
    for taken in [WORD_BITS - 2, WORD_BITS, 2 * WORD_BITS - 1, 2 * WORD_BITS + 9] {
        let words = full(len);
        let bitmap = Bitmap::new(&words, len);
        bitmap.clear(taken..taken + 1);
        assert!(!bitmap.claim(WORD_BITS - 3..2 * WORD_BITS + 10));
        assert_eq!(bitmap.count(), len - 1);
        assert!(bitmap.is_clear(taken..taken + 1));
    }
}

#[test]
fn a_double_release_is_seen() {
    let len = 2 * WORD_BITS;
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    assert!(bitmap.claim(10..WORD_BITS + 10));
    assert!(bitmap.release(20..WORD_BITS + 10));
    assert!(!bitmap.release(15..21), "bit 20 was free already");
    assert!(bitmap.release(10..15));
    assert!(!bitmap.release(WORD_BITS + 9..WORD_BITS + 11));
    assert_eq!(bitmap.count(), len);
    assert!(bitmap.clear(3..WORD_BITS + 3) && !bitmap.clear(2..4), "bit 3 was clear already");
}

#[test]
fn runs_are_found_in_order() {
    let len = 3 * WORD_BITS;
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    bitmap.clear(0..2);
    bitmap.clear(WORD_BITS - 1..WORD_BITS + 1);
    bitmap.clear(len - 1..len);
    assert_eq!(bitmap.next_run(0), Some(2..WORD_BITS - 1));
    assert_eq!(bitmap.next_run(5), Some(5..WORD_BITS - 1));
    assert_eq!(bitmap.next_run(WORD_BITS - 1), Some(WORD_BITS + 1..len - 1));
    assert_eq!(bitmap.next_run(len - 1), None);
    let doubled = next_run(len, 0, |index| bitmap.snapshot(index) & bitmap.snapshot(index) >> 1);
    assert_eq!(doubled, Some(2..WORD_BITS - 2), "bits whose next one is set as well");
    // Another context clears the word between two looks: who goes on behind the run must come further.
    let looks = core::cell::Cell::new(0);
    let claimed_meanwhile = next_run(1, 0, |_| usize::from(looks.replace(1) == 0));
    assert_eq!(claimed_meanwhile, Some(0..1));
}

#[test]
#[cfg_attr(miri, ignore = "safe arithmetic, for every length")]
fn runs_are_found_by_length_and_measured_around() {
    let len = 4 * WORD_BITS;
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    for gap in [0, 4, 12, WORD_BITS + 8, WORD_BITS + 40, 3 * WORD_BITS] {
        bitmap.clear(gap..gap + 1);
    }
    // Free are 1..4, 5..12, 13..W+8, W+9..W+40 or to the end of a short word, …
    let list: Vec<bool> = (0..len).map(|at| !bitmap.is_clear(at..at + 1)).collect();
    let tried = || (0..len).step_by(if cfg!(miri) { 13 } else { 1 });
    for from in tried() {
        for wanted in [1, 3, 4, 7, 8, 20, WORD_BITS - 5, WORD_BITS - 4, WORD_BITS, WORD_BITS + 1, 2 * WORD_BITS] {
            let expected = (from..(len + 1).saturating_sub(wanted)).find(|start| !list[*start..start + wanted].contains(&false));
            assert_eq!(bitmap.next_run_of(from, wanted), expected, "{wanted} from {from}");
        }
    }
    for start in tried().filter(|at| list[*at]) {
        let first = (0..=start).rev().take_while(|at| list[*at]).last().unwrap();
        let end = (start..len).take_while(|at| list[*at]).last().unwrap() + 1;
        assert_eq!(bitmap.previous_run(start + 1, len), Some(first..start + 1));
        assert_eq!(bitmap.previous_run(start + 1, 3), Some(first.max((start + 1).saturating_sub(3))..start + 1));
        assert_eq!(bitmap.around(start..start + 1, len), first..end);
        assert_eq!(bitmap.around(start..start + 1, 2), first.max(start.saturating_sub(2))..end.min(start + 3));
    }
    assert_eq!(bitmap.previous_run(3 * WORD_BITS + 1, 2), Some(3 * WORD_BITS - 2..3 * WORD_BITS), "the last bit is clear");
    assert_eq!((bitmap.previous_run(1, len), bitmap.previous_run(0, len)), (None, None));
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    for end in [1, WORD_BITS, WORD_BITS + 5, len] {
        assert_eq!(bitmap.previous_run(end, usize::MAX), Some(0..end), "back to the first bit");
        assert_eq!(bitmap.around(end - 1..end, usize::MAX), 0..len, "and on to the last");
    }
}

#[test]
fn runs_go_on_in_the_next_word_and_not_behind_a_word_without_bits() {
    let bits = [3 << (WORD_BITS - 2), 0, 3, 1 << (WORD_BITS - 1), 1];
    let words = bits.map(AtomicUsize::new);
    let bitmap = Bitmap::new(&words, 5 * WORD_BITS);
    assert_eq!((bitmap.next_run_of(0, 2), bitmap.next_run_of(WORD_BITS, 2)), (Some(WORD_BITS - 2), Some(2 * WORD_BITS)));
    assert_eq!((bitmap.next_run_of(0, 3), bitmap.next_run_of(2 * WORD_BITS + 1, 2)), (None, Some(4 * WORD_BITS - 1)));
    let starts: Vec<_> = (0..5).map(|index| bitmap.starts_in(index)).collect();
    let first = [1 << (WORD_BITS - 2), 0, 1, 1 << (WORD_BITS - 1), 0];
    assert_eq!(starts, bits.into_iter().zip(first).collect::<Vec<_>>(), "the last one goes on");
    let several = AtomicUsize::new(0b1011_0111_0001);
    let (all, starts) = Bitmap::new(core::slice::from_ref(&several), WORD_BITS).starts_in(0);
    assert_eq!((all, starts), (0b1011_0111_0001, 0b1001_0001_0001));
    assert_eq!([0..WORD_BITS, WORD_BITS - 1..4 * WORD_BITS, 0..0].map(|run| bitmap.count_in(run)), [2, 4, 0]);
}

#[test]
fn the_search_for_a_short_run_ends() {
    // Free are 2, then 5, then 4 bits, then more than enough, then just 3.
    let len = 40 + 2 * AMPLE;
    let new = || {
        let words = full(len);
        let bitmap = Bitmap::new(&words, len);
        [0..1, 3..4, 9..10, 14..15, len - 4..len - 3].into_iter().for_each(|gap| assert!(bitmap.clear(gap)));
        words
    };
    for (candidates, expected) in [(1, 4), (2, 10), (3, 10), (9, 10)] {
        let words = new();
        let found = Bitmap::new(&words, len).claim_run(0, 3, 1, 0, candidates);
        assert_eq!(found, Some(expected..expected + 3), "of {candidates}");
    }
    let words = new();
    let bitmap = Bitmap::new(&words, len);
    assert_eq!(bitmap.claim_run(15, 3, 1, 0, 9), Some(15..18), "so long that it does no harm");
    assert_eq!(bitmap.claim_run(0, 4, 1, 0, 9), Some(10..14), "one that fits exactly is behind one that does not");
}

#[test]
fn every_operation_agrees_with_a_list_of_bits() {
    let len = 2 * WORD_BITS + 7;
    let words = full(len);
    let bitmap = Bitmap::new(&words, len);
    let mut free = std::vec![true; len];
    let mut random = 1u32;
    for _ in 0..if cfg!(miri) { 25 } else { 5000 } {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let start = (random >> 8) as usize % len;
        let run = start..(start + 1 + (random >> 20) as usize % 40).min(len);
        match random >> 4 & 3 {
            0 => assert_eq!(bitmap.claim(run.clone()), {
                let all = free[run.clone()].iter().all(|bit| *bit);
                free[run].iter_mut().filter(|_| all).for_each(|bit| *bit = false);
                all
            }),
            1 => {
                assert_eq!(bitmap.release(run.clone()), free[run.clone()].iter().all(|bit| !bit));
                free[run].fill(true);
            }
            2 => {
                assert_eq!(bitmap.clear(run.clone()), free[run.clone()].iter().all(|bit| *bit));
                free[run].fill(false);
            }
            _ => {
                let starts = (0..len).filter(|at| free[*at] && (*at == 0 || !free[at - 1]));
                let runs = starts.map(|at| (free[at..].iter().take_while(|bit| **bit).count(), at));
                let shortest = runs.filter(|(bits, _)| *bits >= run.len()).take(CANDIDATES).min();
                let found = bitmap.claim_run(0, run.len(), 1, 0, CANDIDATES);
                assert_eq!(found.as_ref().map(|found| found.start), shortest.map(|(_, at)| at));
                found.into_iter().for_each(|found| free[found].fill(false));
            }
        }
        for (index, bits) in free.chunks(WORD_BITS).enumerate() {
            let expected = bits.iter().rev().fold(0, |word, bit| word << 1 | usize::from(*bit));
            assert_eq!(bitmap.word(index), expected, "word {index}");
        }
    }
}

#[test]
fn threads_never_claim_the_same_bit() {
    const LEN: usize = 3 * WORD_BITS;
    let words = full(LEN);
    let bitmap = Bitmap::new(&words, LEN);
    let owners: Vec<AtomicUsize> = (0..LEN).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let (bitmap, owners) = (&bitmap, &owners);
            scope.spawn(move || {
                for step in 0..if cfg!(miri) { 10 } else { 20_000 } {
                    let len = 1 + (5 * step * thread) % (WORD_BITS + 9);
                    let Some(run) = bitmap.claim_run(step % LEN, len, 1 << (step % 4), step % 2, CANDIDATES) else { continue };
                    for bit in run.clone() {
                        assert_eq!(owners[bit].swap(thread, Ordering::Relaxed), 0, "bit {bit} has two owners");
                    }
                    for bit in run.clone() {
                        assert_eq!(owners[bit].swap(0, Ordering::Relaxed), thread);
                    }
                    assert!(bitmap.release(run));
                }
            });
        }
    });
    assert_eq!(bitmap.count(), LEN);
}
