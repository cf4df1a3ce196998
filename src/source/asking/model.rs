//! A model of contexts that ask a source which has memory for one of them.

use super::*;
use crate::base::sync::AtomicBool;
use crate::base::sync::model::{Arc, explore, thread};

struct World {
    asking: Asking,
    /// What the source gave is its own affair: no order.
    is_given: AtomicBool,
    /// What came in.
    memory: AtomicUsize,
}

impl World {
    /// What the source does for one of them.
    fn give(&self) -> bool {
        !self.is_given.swap(true, Ordering::Relaxed) && {
            self.memory.store(7, Ordering::Relaxed);
            true
        }
    }

    /// What the context can find after it asked; `None` if no memory came in.
    fn grow(&self, core: usize, generation: usize) -> Option<usize> {
        self.asking.ask(core, generation, |_| self.give()).then(|| self.memory.load(Ordering::Relaxed))
    }
}

/// Who is refused because of another one finds what that one got (Q1).
#[test]
fn who_is_refused_finds_what_the_other_one_got() {
    explore(|| {
        let world = Arc::new(World { asking: Asking::new(), is_given: AtomicBool::new(false), memory: AtomicUsize::new(0) });
        // Before either searched in vain.
        let generation = world.asking.generation();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.grow(1, generation))
        };
        let found = world.grow(0, generation);
        assert_eq!((found, other.join().unwrap()), (Some(7), Some(7)), "null although memory came in");
    });
}

/// Who is refused looks for the others after that. Nothing but the fences shows their bits, unless it began later than they did.
#[test]
fn who_is_refused_sees_who_asks() {
    explore(|| {
        let world = Arc::new(World { asking: Asking::new(), is_given: AtomicBool::new(false), memory: AtomicUsize::new(0) });
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                if world.is_given.load(Ordering::Relaxed) {
                    assert!(world.asking.ask_again(2, 0, |_| world.give()), "null although memory came in");
                    assert_eq!(world.memory.load(Ordering::Relaxed), 7);
                }
            })
        };
        assert_eq!(world.grow(0, 0), Some(7));
        other.join().unwrap();
    });
}
