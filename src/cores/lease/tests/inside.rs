//! Who may still be inside a pop or push keeps the core heap (E3), whatever its seat has got meanwhile.

use super::*;

/// Nobody but the thread that is inside gets at this block.
fn assert_kept(cores: &Cores<Leased<Played, HEAPS_PER_CORE, 64>>, thread: usize, core: usize, block: usize) {
    play(thread);
    assert_ne!((cores.cores.core(), cores.pop()), (core, Some(block)), "thread {thread} is inside beside another one");
}

#[test]
fn a_core_heap_whose_lessee_got_another_back_meanwhile() {
    let cores = leased::<64>(1);
    play(2);
    let first = cores.cores.take(0).expect("its lessee is not inside");
    play(1);
    assert_eq!(cores.cores.core(), 1);
    assert!(cores.push(128));
    // SAFETY: the tests' geometry.
    let inside = unsafe { cores.cores.enter::<Four>() }.expect("it has core heap 1");
    play(3);
    let second = cores.cores.begin_to_take(1).expect("nobody else has taken it");
    assert!(!second.is_left());
    // The seat has core heap 0 again, when 1 is given back.
    drop((first, second));
    assert_kept(&cores, 4, 1, 128);
    drop(inside);
    play(4);
    assert!(cores.cores.take(1).is_some(), "who has left is not waited for");
    assert!(cores.cores.lessees[1].load(Ordering::Relaxed).is_null());
}

#[test]
fn a_core_heap_whose_lessee_has_a_signal_handler() {
    let cores = leased::<64>(1);
    play(1);
    // SAFETY: the tests' geometry.
    let inside = unsafe { cores.cores.enter::<Four>() }.expect("it has core heap 0");
    play(2);
    let taken = cores.cores.begin_to_take(0).expect("nobody else has taken it");
    play(1);
    // The handler asks for a core, and gets no lease.
    cores.cores.core();
    assert!(cores.cores.seats.newest().expect("a table").seat_of(1).expect("a seat").heap.load(Ordering::Relaxed).is_null());
    play(2);
    assert!(!taken.is_left());
    drop(taken);
    assert_kept(&cores, 3, 0, 64);
    drop(inside);
}
