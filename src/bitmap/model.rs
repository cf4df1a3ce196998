//! Models of bitmap claims.

use super::*;
use crate::sync::model::{Arc, UnsafeCell, explore, thread};

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

/// What one owner wrote before the release is seen by the next one.
#[test]
fn a_claim_sees_what_the_last_owner_wrote() {
    explore(|| {
        let shared = Arc::new(([AtomicUsize::new(0)], UnsafeCell::new(0)));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                // SAFETY: bit 0 is clear: this thread owns what it stands for.
                shared.1.with_mut(|cell| unsafe { *cell = 7 });
                assert!(Bitmap::new(&shared.0, 1).release(0..1));
            })
        };
        if claim_lowest(&shared.0[0], 1) == 1 {
            // SAFETY: claimed.
            assert_eq!(shared.1.with(|cell| unsafe { *cell }), 7);
        }
        other.join().unwrap();
    });
}
