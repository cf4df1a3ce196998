//! Models of the list of regions: who finds one finds it as it was made, and those before it.

use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::base::sync::model::{Arc, explore, thread};
use crate::base::sync::{AtomicPtr, AtomicUsize};

/// What stands for a region.
struct Region {
    next: AtomicPtr<Region>,
    number: AtomicUsize,
}

/// One that stays until the model's threads have ended.
struct Made(*mut Region);

// SAFETY: the model uses it in one thread at a time.
unsafe impl Send for Made {}

impl Made {
    fn new(number: usize) -> Self {
        let region = Region { next: AtomicPtr::new(null_mut()), number: AtomicUsize::new(0) };
        region.number.store(number, Ordering::Relaxed);
        Made(Box::into_raw(Box::new(region)))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

fn push(newest: &Newest<Region>, number: usize) -> Made {
    let made = Made::new(number);
    // SAFETY: made just now, and it stays.
    newest.push(made.0, |before| unsafe { &*made.0 }.next.store(before, Ordering::Relaxed));
    made
}

/// The numbers of all regions, the newest first.
fn numbers(newest: &Newest<Region>) -> Vec<usize> {
    // SAFETY: regions stay.
    let follow = |region: *mut Region| unsafe { region.as_ref() };
    let regions = core::iter::successors(follow(newest.get()), |region| follow(region.next.load(Ordering::Relaxed)));
    regions.map(|region| region.number.load(Ordering::Relaxed)).collect()
}

/// One context makes the second region of another's first: who finds the second finds both.
#[test]
fn all_regions_are_found_as_they_were_made() {
    explore(|| {
        let newest = Arc::new(Newest::new());
        let other = {
            let newest = newest.clone();
            thread::spawn(move || push(&newest, 1))
        };
        let finder = {
            let newest = newest.clone();
            thread::spawn(move || numbers(&newest))
        };
        let _made = push(&newest, 2);
        let mut found = finder.join().unwrap();
        found.sort();
        assert!(matches!(found[..], [] | [1] | [2] | [1, 2]), "{found:?}");
        let _others = other.join().unwrap();
        assert_eq!(numbers(&newest).len(), 2);
    });
}

/// Of two attempts one makes the first region, and both find it (W1).
#[test]
fn the_first_region_is_found_as_it_was_made() {
    explore(|| {
        let newest = Arc::new(Newest::new());
        let attempt = |newest: &Newest<Region>| {
            let attempt = newest.begin(2);
            let made = attempt.map(|attempt| Made::new(attempt + 1));
            if let (Some(attempt), Some(made)) = (attempt, &made) {
                let mut attempts = attempt + 1;
                while let Err(Overtaken::By(now)) = newest.publish(made.0, attempts) {
                    attempts = now;
                }
            }
            (numbers(newest), made)
        };
        let other = {
            let newest = newest.clone();
            thread::spawn(move || attempt(&newest))
        };
        let (found, _made) = attempt(&newest);
        assert!(matches!(found[..], [1 | 2]), "{found:?}");
        let (theirs, _made) = other.join().unwrap();
        assert_eq!(found, theirs);
    });
}
