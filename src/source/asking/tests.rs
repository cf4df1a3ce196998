use std::thread;
use std::time::Duration;

use super::*;

#[test]
fn who_ended_while_it_asked_is_waited_for_once() {
    let asking = Asking::new();
    // Core 4 asks, and never comes back.
    asking.cores.store(1 << 4, Ordering::Relaxed);
    assert!(!asking.ask(0, 0, |_| false));
    assert_eq!(asking.cores.load(Ordering::Relaxed), 0);
}

#[test]
fn who_was_refused_while_another_one_asked_asks_once_more() {
    let asking = Asking::new();
    let calls = AtomicUsize::new(0);
    let ask = |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        // Core 4 begins to ask meanwhile. It ends without memory, or with it.
        if call == 0 {
            asking.cores.store(1 << 4, Ordering::Relaxed);
        }
        call == 1
    };
    assert!(asking.ask(0, 0, ask));
    assert_eq!((calls.into_inner(), asking.generation()), (2, 1));
    let asking = Asking::new();
    let calls = AtomicUsize::new(0);
    let ask = |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        false
    };
    assert!(!asking.ask(0, 0, ask));
    assert_eq!(calls.into_inner(), 1, "alone it asks once");
}

/// While a context asks, the bit of its core says so, to those on other cores and to itself.
#[test]
fn who_asks_is_seen() {
    for core in [0, 5, WORD_BITS - 1, WORD_BITS + 5] {
        let asking = Asking::new();
        let ask = |is_nested: bool| {
            assert!(!is_nested);
            assert_eq!(asking.cores.load(Ordering::Relaxed), 1 << (core % WORD_BITS));
            assert!(!asking.ask(core, 0, |is_nested: bool| {
                assert!(is_nested);
                false
            }));
            assert_eq!(asking.cores.load(Ordering::Relaxed), 1 << (core % WORD_BITS), "still");
            true
        };
        assert!(asking.ask(core, 0, ask));
        assert_eq!((asking.cores.load(Ordering::Relaxed), asking.generation()), (0, 1));
    }
}

/// Also if others are asking still.
#[test]
fn who_sees_that_memory_came_in_does_not_ask() {
    let asking = Asking::new();
    asking.note_memory();
    asking.cores.store(1 << 4, Ordering::Relaxed);
    assert_eq!((asking.others(1, 0), asking.others(1, 1)), (0, 1 << 4));
    assert!(asking.ask(0, 0, |_| panic!("it is there")));
    assert_eq!((asking.cores.load(Ordering::Relaxed), asking.generation()), (1 << 4, 1));
}

/// Until they have ended without memory, or have got some.
#[test]
fn others_are_waited_for_until_they_are_done() {
    for has_memory in [false, true] {
        let asking = Asking::new();
        asking.cores.store(1 << 4, Ordering::Relaxed);
        let missed = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                if has_memory {
                    asking.note_memory();
                } else {
                    asking.cores.store(0, Ordering::Release);
                }
            });
            let missed = asking.wait_for_others(1, 0, usize::MAX);
            assert!(asking.cores.load(Ordering::Relaxed) == 0 || asking.generation() == 1, "too soon");
            missed
        });
        assert_eq!(missed, 0);
    }
}
