use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

fn lets_one_in(exclusion: &impl Exclusion, is_inside: impl Fn() -> bool) {
    for _ in 0..2 {
        let inside = exclusion.alone(&is_inside);
        assert_eq!((inside, is_inside()), (true, false), "inside, and not any more");
    }
    let both = exclusion.alone(|| catch_unwind(AssertUnwindSafe(|| exclusion.alone(|| 1))).map(|_| 2));
    assert!(both.is_err(), "two at a time");
    assert_eq!(exclusion.alone(|| 3), 3, "the first has come to its end");
    // What the work has left behind is nobody's to use.
    let work = || {
        exclusion.alone(|| {
            if is_inside() {
                panic!("half done")
            }
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| exclusion.alone(|| 4))).is_err(), "after a panic nobody runs");
}

#[test]
fn one_context_at_a_time_is_let_in() {
    let exclusion = OneContext::new();
    lets_one_in(&exclusion, || {
        let was_empty = exclusion.inside.enter();
        if was_empty {
            exclusion.inside.leave();
        }
        !was_empty
    });
    // SAFETY: one thread has it.
    let exclusion = unsafe { NestedContexts::new() };
    lets_one_in(&exclusion, || exclusion.is_inside.load(Ordering::Relaxed));
}

#[test]
fn who_is_said_to_be_alone_is_not_kept_off() {
    // SAFETY: one context has it.
    let exclusion = unsafe { Unshared::new() };
    assert_eq!(exclusion.alone(|| 3), 3);
}
