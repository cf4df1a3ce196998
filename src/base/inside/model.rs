//! A model of two contexts that go inside.

use super::*;
use crate::base::sync::model::{Arc, UnsafeCell, explore, thread};

/// One at a time is inside, and sees what the one before did (Y1).
#[test]
fn one_context_at_a_time_is_inside() {
    explore(|| {
        let shared = Arc::new((Inside::new(), UnsafeCell::new(0)));
        let visit = |shared: &(Inside, UnsafeCell<usize>)| {
            let may = shared.0.enter();
            if may {
                // SAFETY: the model checks that nobody else is inside.
                shared.1.with_mut(|visits| unsafe { *visits += 1 });
                shared.0.leave();
            }
            usize::from(may)
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || visit(&shared))
        };
        let visits = visit(&shared) + other.join().unwrap();
        assert!(visits > 0);
        // SAFETY: the other thread has ended.
        assert_eq!(shared.1.with(|visits| unsafe { *visits }), visits);
    });
}
