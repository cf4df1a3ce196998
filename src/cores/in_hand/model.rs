//! A model of a search beside a context that has the only free block in hand.

use super::*;
use crate::base::bitmap::claim_lowest;
use crate::base::sync::model::{Arc, explore, thread};

/// Searches until there is a block, or, by I1, none was in hand.
fn search(word: &InHand, block: &AtomicUsize) -> bool {
    loop {
        let moves = word.moves();
        if claim_lowest(block, 1) != 0 {
            return true;
        }
        while !word.is_empty() {
            thread::yield_now();
        }
        if word.moves() == moves {
            return false;
        }
    }
}

/// A block that somebody has in hand for a moment is found.
#[test]
fn what_is_in_hand_is_found() {
    explore(|| {
        let world = Arc::new((InHand::new(), AtomicUsize::new(1)));
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                let mut hand = Hand::new(Some(&world.0));
                if claim_lowest(&world.1, 1) != 0 {
                    hand.moves();
                    world.1.fetch_or(1, Ordering::Release);
                }
            })
        };
        assert!(search(&world.0, &world.1), "null although memory is free");
        other.join().unwrap();
        assert!(world.0.is_empty());
    });
}

/// A block that the program has is not waited for.
#[test]
fn what_nobody_gives_back_is_not_waited_for() {
    explore(|| {
        let world = Arc::new((InHand::new(), AtomicUsize::new(0)));
        let other = {
            let world = world.clone();
            thread::spawn(move || search(&world.0, &world.1))
        };
        let hand = Hand::new(Some(&world.0));
        drop(hand);
        assert!(!search(&world.0, &world.1) && !other.join().unwrap());
    });
}
