use core::mem::MaybeUninit;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

use super::*;

/// A magazine's parts, its words between others that are nobody's.
struct Parts {
    newest: SlotPtr,
    limit: SlotPtr,
    words: [[AtomicUsize; 9]; 3],
}

impl Parts {
    fn with_limit(limit: usize) -> Self {
        // SAFETY: atomics, valid when zero.
        let parts: Parts = unsafe { MaybeUninit::zeroed().assume_init() };
        // The parts are still to be moved: the limit is remembered as a number.
        parts.limit.store(core::ptr::without_provenance_mut(limit), Relaxed);
        parts
    }

    /// The magazine, empty and with its limit when it is asked for first.
    fn magazine(&self) -> Magazine<'_> {
        let magazine = Magazine::new(&self.newest, &self.limit, &self.words[1]);
        if self.newest.load(Relaxed).is_null() {
            let limit = self.limit.load(Relaxed).addr();
            magazine.prepare();
            magazine.set_limit(limit);
        }
        magazine
    }
}

fn block(address: usize) -> Block {
    // SAFETY: made up, and this test's alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

fn push(magazine: &Magazine<'_>, address: usize) -> bool {
    // SAFETY: this test is alone on it.
    unsafe { magazine.push(block(address)) }.map_err(|back| assert_eq!(back.address(), address)).is_ok()
}

fn pop(magazine: &Magazine<'_>) -> Option<usize> {
    // SAFETY: this test is alone on it.
    unsafe { magazine.pop() }.map(|block| block.address())
}

fn push_beside(magazine: &Magazine<'_>, address: usize) -> bool {
    let raced = || panic!("nobody else is there");
    // SAFETY: this test calls nothing else.
    unsafe { magazine.push_beside(block(address), raced) }.map_err(|back| assert_eq!(back.address(), address)).is_ok()
}

fn pop_beside(magazine: &Magazine<'_>) -> Option<usize> {
    // SAFETY: this test calls nothing else.
    unsafe { magazine.pop_beside(|| panic!("nobody else is there")) }.map(|block| block.address())
}

#[test]
fn a_new_magazine_is_empty_and_has_no_room() {
    let parts = Parts::with_limit(0);
    let magazine = parts.magazine();
    assert_eq!((magazine.count(), magazine.limit(), pop(&magazine), pop_beside(&magazine)), (0, 0, None, None));
    assert!(!push(&magazine, 64) && !push_beside(&magazine, 64), "M3: no block before its first use");
    assert_eq!(magazine.addresses(true).count(), 0);
    magazine.assert_valid();
}

#[test]
fn a_full_magazine_leaves_its_neighbours_alone() {
    let parts = Parts::with_limit(8);
    let magazine = parts.magazine();
    assert_eq!((1..=9).filter(|block| push(&magazine, 64 * block)).count(), 8);
    magazine.assert_valid();
    assert_eq!(core::iter::from_fn(|| pop(&magazine)).count(), 8);
    assert_eq!(pop(&magazine), None);
    magazine.assert_valid();
    for neighbour in [&parts.words[0], &parts.words[2]] {
        assert!(neighbour.iter().all(|word| word.load(Relaxed) == 0));
    }
}

#[test]
fn the_newest_block_comes_out_first() {
    let parts = Parts::with_limit(3);
    let magazine = parts.magazine();
    assert!([64, 128, 192].iter().all(|address| push(&magazine, *address)));
    assert!(!push(&magazine, 256), "full");
    assert_eq!((magazine.count(), magazine.limit()), (3, 3));
    assert_eq!(magazine.addresses(false).collect::<Vec<_>>(), [64, 128, 192]);
    assert_eq!(pop(&magazine), Some(192));
    assert_eq!(magazine.addresses(false).collect::<Vec<_>>(), [64, 128], "what is left behind in a slot is not there");
    magazine.set_limit(1);
    assert!(!push(&magazine, 256), "more than a lower limit are inside");
    assert_eq!([pop(&magazine), pop(&magazine), pop(&magazine)], [Some(128), Some(64), None]);
    assert!(push(&magazine, 256) && !push(&magazine, 320));
}

#[test]
fn a_limit_is_at_most_the_number_of_slots() {
    let parts = Parts::with_limit(8);
    let magazine = parts.magazine();
    assert_eq!((1..=9).filter(|block| push(&magazine, 64 * block)).count(), 8);
    assert!(catch_unwind(AssertUnwindSafe(|| magazine.set_limit(8 + 1))).is_err());
}

#[test]
fn many_are_moved_as_far_as_there_is_room() {
    let parts = Parts::with_limit(4);
    let magazine = parts.magazine();
    let mut blocks = Blocks::new();
    (1..=6).for_each(|number| blocks.add(block(64 * number)));
    // SAFETY: this test is alone on it.
    unsafe { magazine.push_many(&mut blocks) };
    assert_eq!((blocks.addresses(), magazine.count()), (&[64, 128][..], 4), "the last went first");
    // SAFETY: this test is alone on it.
    unsafe { magazine.pop_many(&mut blocks, 5) };
    assert_eq!((blocks.addresses(), magazine.count()), (&[64, 128, 192, 256, 320][..], 1));
    // SAFETY: this test is alone on it.
    unsafe { magazine.pop_many(&mut blocks, 64) };
    assert_eq!((blocks.addresses().len(), magazine.count()), (6, 0), "no more than there are");
}

#[test]
fn beside_others_each_block_goes_in_and_out_once() {
    for limit in 0..=8 {
        let parts = Parts::with_limit(limit);
        let magazine = parts.magazine();
        // Filled and emptied several times, by parts of other lengths: the hint is near the truth each time.
        for part in [8, 1, 3, 8, 5] {
            let pushed: Vec<usize> =
                (1..=part).map(|block| 64 * block).take_while(|address| push_beside(&magazine, *address)).collect();
            assert_eq!(pushed.len(), part.min(limit), "as many as there is room for");
            assert!(magazine.count().abs_diff(pushed.len()) <= SLACK);
            let mut inside: Vec<usize> = magazine.addresses(true).collect();
            inside.sort();
            assert_eq!(inside, pushed);
            let mut popped: Vec<usize> = core::iter::from_fn(|| pop_beside(&magazine)).collect();
            popped.sort();
            assert_eq!(popped, pushed);
            assert!(magazine.count() <= SLACK);
        }
    }
}

#[test]
fn beside_others_the_newest_block_comes_out_first() {
    let parts = Parts::with_limit(8);
    let magazine = parts.magazine();
    let hints: Vec<usize> = (1..=6).map(|block| (assert!(push_beside(&magazine, 64 * block)), magazine.count()).1).collect();
    assert!(hints.is_sorted() && hints.iter().collect::<BTreeSet<_>>().len() == 3, "two stores for six blocks: {hints:?}");
    let hint = magazine.count();
    assert_eq!(hint, 6, "when it is corrected, it is right");
    assert_eq!([pop_beside(&magazine), pop_beside(&magazine)], [Some(384), Some(320)]);
    for _ in 0..3 {
        assert!(push_beside(&magazine, 640));
        assert_eq!(pop_beside(&magazine), Some(640));
        assert_eq!(magazine.count(), hint, "a store for each would be dear");
    }
}

/// M4: the hint may be wrong after a race.
#[test]
fn blocks_and_room_are_found_wherever_the_hint_leads() {
    for slot in 0..8 {
        for hint in 0..=8 {
            let parts = Parts::with_limit(8);
            let magazine = parts.magazine();
            magazine.slots()[slot].store(64, Relaxed);
            magazine.set_hint(hint);
            assert_eq!((pop_beside(&magazine), pop_beside(&magazine)), (Some(64), None), "in slot {slot}, the hint is {hint}");
            let others = |index: &usize| *index != slot;
            (0..8).filter(others).for_each(|index| magazine.slots()[index].store(64 * (index + 2), Relaxed));
            magazine.set_hint(hint);
            assert!(push_beside(&magazine, 64) && !push_beside(&magazine, 1024), "slot {slot} is free, the hint is {hint}");
            assert_eq!(magazine.slots()[slot].load(Relaxed), 64);
        }
    }
}
