use super::*;

const MIB: usize = 256;
const SLICE: usize = 4096;

fn is_due(fall: &Fall, used: usize, now_ms: usize) -> bool {
    let is_due = fall.begin(used, SLICE, now_ms);
    if is_due {
        assert!(!fall.begin(used, SLICE, now_ms), "one at a time");
        fall.end();
    }
    is_due
}

#[test]
fn use_has_fallen_at_half_and_some_mib_less() {
    let fall = Fall::new();
    assert!(!is_due(&fall, 0, 1), "nothing was used");
    fall.note_rise(100 * MIB);
    assert!(!is_due(&fall, 50 * MIB + 1, 1) && is_due(&fall, 50 * MIB, 1) && is_due(&fall, 0, 1));
    let fall = Fall::new();
    fall.note_rise(4 * MIB);
    assert!(!is_due(&fall, 1, 1) && is_due(&fall, 0, 1));
}

#[test]
fn what_went_back_counts_from_there() {
    let fall = Fall::new();
    fall.note_rise(100 * MIB);
    fall.note_given(10 * MIB, SLICE, None);
    assert!(is_due(&fall, 40 * MIB, 1), "there is more");
    fall.note_given(50 * MIB, SLICE, Some(40 * MIB));
    assert!(!is_due(&fall, 40 * MIB, 1) && !is_due(&fall, 21 * MIB, 1) && is_due(&fall, 20 * MIB, 1));
}

#[test]
fn what_is_needed_again_is_made_up_for_by_time() {
    let fall = Fall::new();
    fall.note_rise(100 * MIB);
    assert!(is_due(&fall, 0, 1000));
    fall.note_given(100 * MIB, SLICE, Some(0));
    fall.note_rise(64 * MIB);
    // 64 MiB take 512 ms.
    assert!(!is_due(&fall, 0, 1400) && !is_due(&fall, 0, 1511) && is_due(&fall, 0, 1512) && is_due(&fall, 0, 1512));
    fall.note_given(64 * MIB, SLICE, Some(0));
    fall.note_rise(200 * MIB);
    // Of 200 MiB only 100 had gone back.
    assert!(!is_due(&fall, 0, 1512 + 799) && is_due(&fall, 0, 1512 + 800));
}

/// Time that passed before is no credit.
#[test]
fn no_debt_is_made_up_for_in_advance() {
    let fall = Fall::new();
    fall.note_rise(100 * MIB);
    assert!(is_due(&fall, 0, 1_000_000));
    fall.note_given(100 * MIB, SLICE, Some(0));
    fall.note_rise(100 * MIB);
    assert!(!is_due(&fall, 0, 1_000_001));
}

/// A clock that was read before another context read it makes up for nothing; nor is what a slice is too big for lost.
#[test]
fn time_counts_once() {
    let fall = Fall::new();
    fall.note_rise(100 * MIB);
    assert!(is_due(&fall, 0, 1000));
    fall.note_given(100 * MIB, SLICE, Some(0));
    fall.note_rise(100 * MIB);
    assert!(!is_due(&fall, 0, 1001) && !is_due(&fall, 0, 1000) && !is_due(&fall, 0, 1001));
    let big = Fall::new();
    big.note_rise(100);
    assert!(big.begin(0, 1 << 20, 1));
    big.note_given(100, 1 << 20, Some(0));
    big.end();
    big.note_rise(1 + LEAST / (1 << 20));
    // 5 slices of 1 MiB take 8 ms each.
    assert!((2..41).all(|now| !big.begin(0, 1 << 20, now)) && big.begin(0, 1 << 20, 41));
}

/// Where little goes back, say because the source takes nothing, not each free looks for it.
#[test]
fn what_was_in_vain_is_not_tried_at_once_again() {
    for (given, wait_ms) in [(2 * MIB, 16), (2 * MIB - 1, 24), (0, 8)] {
        let fall = Fall::new();
        fall.note_rise(100 * MIB);
        assert!(is_due(&fall, 0, 1000));
        fall.note_given(given, SLICE, Some(0));
        fall.note_rise(100 * MIB);
        assert!(!is_due(&fall, 0, 999 + wait_ms) && is_due(&fall, 0, 1000 + wait_ms), "{given} slices");
    }
}

/// Who never comes back, as in the child of a fork, is not waited for.
#[test]
fn a_context_that_is_gone_stops_nobody() {
    let fall = Fall::new();
    fall.note_rise(100 * MIB);
    assert!(fall.begin(0, SLICE, 5));
    assert!(!fall.begin(0, SLICE, 1004) && fall.begin(0, SLICE, 1005));
}
