//! Models of bitmap claims.

use super::*;
use crate::base::sync::model::{Arc, UnsafeCell, explore, thread};

/// Runs over two words that overlap: never both claimed, and what a failed claim took comes back (B1, B2).
#[test]
fn overlapping_claims_have_one_winner() {
    explore(|| {
        let words = Arc::new([AtomicUsize::new(usize::MAX), AtomicUsize::new(usize::MAX)]);
        let claim = |words: &[AtomicUsize], run: Range<usize>| Bitmap::new(words, 2 * WORD_BITS).claim(run);
        let other = {
            let words = words.clone();
            thread::spawn(move || claim(&*words, 60..70))
        };
        let mine = claim(&*words, 64..80);
        let theirs = other.join().unwrap();
        assert!(!(mine && theirs));
        let free = Bitmap::new(&*words, 2 * WORD_BITS).count();
        assert_eq!(free, 2 * WORD_BITS - if mine { 16 } else { 0 } - if theirs { 10 } else { 0 });
    });
}

/// Who misses bits that were claimed for nothing, and sees that they were, finds them the next time.
#[test]
fn what_was_claimed_for_nothing_is_found_again() {
    explore(|| {
        // The second word has none.
        let shared = Arc::new(([AtomicUsize::new(usize::MAX), AtomicUsize::new(0)], Undone::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let before = shared.1.count();
                let claim = || claim_lowest(&shared.0[0], 1) != 0;
                if !claim() && shared.1.count() != before {
                    assert!(claim(), "missed again");
                }
            })
        };
        assert!(!Bitmap::new(&shared.0, 2 * WORD_BITS).counting(&shared.1).claim(0..WORD_BITS + 1));
        other.join().unwrap();
    });
}

/// What one owner wrote before the release is seen by whoever finds the bit set, in whatever way.
fn is_seen_after_a_release(finds: fn(&[AtomicUsize]) -> bool) {
    explore(move || {
        let shared = Arc::new(([AtomicUsize::new(0)], UnsafeCell::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                // SAFETY: bit 0 is clear: this thread owns what it stands for.
                shared.1.with_mut(|cell| unsafe { *cell = 7 });
                assert!(Bitmap::new(&shared.0, 1).release(0..1));
            })
        };
        if finds(&shared.0) {
            // SAFETY: claimed, or there is nobody else who would claim it.
            assert_eq!(shared.1.with(|cell| unsafe { *cell }), 7);
        }
        other.join().unwrap();
    });
}

#[test]
fn a_claim_sees_what_the_last_owner_wrote() {
    is_seen_after_a_release(|words| claim_lowest(&words[0], 1) == 1);
}

#[test]
fn a_claim_of_a_word_sees_what_the_last_owner_wrote() {
    is_seen_after_a_release(|words| claim_lowest(&words[0], WORD_BITS) == 1);
}

#[test]
fn a_claim_of_a_run_sees_what_the_last_owner_wrote() {
    is_seen_after_a_release(|words| Bitmap::new(words, 1).claim(0..1));
}

#[test]
fn clearing_sees_what_the_last_owner_wrote() {
    is_seen_after_a_release(|words| Bitmap::new(words, 1).clear(0..1));
}

#[test]
fn a_snapshot_sees_what_the_last_owner_wrote() {
    is_seen_after_a_release(|words| Bitmap::new(words, 1).snapshot(0) == 1);
}

/// What was written before bits were cleared is seen by who finds them clear.
#[test]
fn a_clear_bit_shows_what_was_written_before() {
    explore(|| {
        let shared = Arc::new(([AtomicUsize::new(1)], UnsafeCell::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                // SAFETY: the bit is set: the other one does not look.
                shared.1.with_mut(|cell| unsafe { *cell = 7 });
                assert!(Bitmap::new(&shared.0, 1).clear(0..1));
            })
        };
        if Bitmap::new(&shared.0, 1).is_clear(0..1) {
            // SAFETY: the bit is clear: the other one has written.
            assert_eq!(shared.1.with(|cell| unsafe { *cell }), 7);
        }
        other.join().unwrap();
    });
}
