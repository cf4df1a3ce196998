//! Threads find their seats, however many they are.

use super::*;

/// Where none of the seats that a thread tries is free, there are twice as many from then on, and every thread has a lease.
#[test]
fn there_is_a_seat_for_every_thread() {
    const THREADS: usize = if cfg!(miri) { 20 } else { 1000 };
    let before = TABLES.get();
    let mut cores = fresh::<THREADS, 2>();
    CORES.set(THREADS);
    (0..THREADS).for_each(|core| cores.make(core));
    let number = |thread: usize| 0x1000_0740_usize.wrapping_add(thread.wrapping_mul(0x20_1000));
    for thread in 0..THREADS {
        play(number(thread));
        assert_eq!(cores.cores.core(), thread);
        assert!(cores.push(64 * (thread + 1)), "thread {thread} has a lease at once");
    }
    for thread in 0..THREADS {
        play(number(thread));
        let (barriers, core) = barriers(|| cores.cores.core());
        assert_eq!((barriers, core), (0, thread), "it has kept its core heap wherever it sits now");
        assert_eq!((cores.pop(), cores.pop()), (Some(64 * (thread + 1)), None));
    }
    // Until nobody had to make another table, which the others move to when they come again.
    let mut tables = 0;
    while tables < TABLES.get() - before {
        tables = TABLES.get() - before;
        for thread in 0..THREADS {
            play(number(thread));
            assert_eq!(cores.cores.core(), thread);
        }
    }
    assert!((2..=20).contains(&tables), "{tables} tables");
    // Nobody's lease is by a seat that its thread does not look at.
    for (core, lessee) in cores.cores.lessees.iter().enumerate() {
        let seat = cores.cores.seats.newest().expect("a table").seat_of(number(core)).expect("a seat");
        assert!(core::ptr::eq(lessee.load(Ordering::Relaxed), seat));
    }
    drop(cores);
    assert_eq!(TABLES.get(), before, "all are given back");
}

/// Two threads, of which the second had to make a table; the first has not moved yet.
fn moving() -> Cores<Leased<Played, HEAPS_PER_CORE, 2>> {
    let cores = leased::<2>(1);
    // Whatever they are, so many do not fit.
    let old = cores.cores.seats.newest().expect("a table").seat_of(1).expect("a seat");
    for thread in 2.. {
        play(thread);
        cores.cores.own_seat();
        if cores.cores.seats.newest().expect("a table").seat_of(1).is_none() {
            break;
        }
    }
    assert_eq!(
        cores.cores.seats.newest().expect("a table").older().find_map(|table| table.seat_of(1)).map(core::ptr::from_ref),
        Some(core::ptr::from_ref(old))
    );
    play(1);
    cores
}

/// E1.
#[test]
fn a_thread_moves_to_the_newest_table_in_its_slow_path() {
    let cores = moving();
    assert!(!cores.push(128) && cores.pop().is_none(), "it looks in the newest");
    assert_eq!((barriers(|| cores.cores.core()), cores.pop()), ((0, 0), Some(64)));
    let old = cores.cores.seats.newest().expect("a table").older().find_map(|table| table.seat_of(1)).expect("its first");
    assert_eq!((old.heap.load(Ordering::Relaxed), cores.inside(0)), (MOVED, Some(Vec::new())));
    assert_eq!(old.heap.load(Ordering::Relaxed), MOVED, "nobody gives it a lease again");
}

/// E1: who is inside a pop or push stays where it is.
#[test]
fn a_signal_handler_does_not_move_the_thread_that_it_interrupts() {
    let cores = moving();
    let old = cores.cores.seats.newest().expect("a table").older().find_map(|table| table.seat_of(1)).expect("its first");
    old.busy.store(1, Ordering::Relaxed);
    assert_eq!((cores.cores.core(), cores.push(128), cores.pop()), (0, false, None));
    play(77);
    assert_eq!(cores.inside(0), None, "nor is its core heap taken");
    play(1);
    old.busy.store(0, Ordering::Relaxed);
    assert_eq!((cores.cores.core(), cores.pop()), (0, Some(64)));
}

/// E1: a pop that found its seat before a signal handler moved the thread finds nothing there.
#[test]
fn a_pop_that_has_found_its_seat_before_it_was_moved_gets_nothing() {
    let cores = moving();
    cores.cores.core();
    let old = cores.cores.seats.newest().expect("a table").older().find_map(|table| table.seat_of(1)).expect("its first");
    assert!(!old.heap.load(Ordering::Relaxed).is_null());
    // As if it was the newest still.
    // SAFETY: the tests' geometry.
    assert!(unsafe { cores.cores.enter_by::<Four>(old) }.is_none());
    assert_eq!((old.busy.load(Ordering::Relaxed), cores.cores.lease(old)), (0, 1));
    assert_eq!((old.heap.load(Ordering::Relaxed), cores.inside(1)), (MOVED, Some(Vec::new())), "it is nobody's");
}

/// E3: a core heap that is out when its lessee moves is nobody's afterwards.
#[test]
fn a_thread_that_moves_meanwhile_does_not_get_its_core_heap_back() {
    let cores = moving();
    let go_on = |_: &CoreHeap<Four>| {
        assert_eq!(cores.cores.core(), 1, "its own is out");
        assert!(cores.push(128));
    };
    // SAFETY: the tests' geometry.
    assert!(unsafe { cores.cores.alone_on::<Four, _>(0, go_on) }.is_some());
    assert_eq!((cores.cores.core(), cores.pop()), (1, Some(128)));
    assert!(cores.cores.lessees[0].load(Ordering::Relaxed).is_null());
}

/// Others make the table that a thread is about to make.
#[test]
fn of_two_tables_made_at_once_one_is_given_back() {
    std::thread_local! {
        static SHARED: Cores<Leased<Played, HEAPS_PER_CORE, 2>> = fresh();
    }
    let before = TABLES.get();
    let handler = || SHARED.with(|cores| assert!(cores.cores.own_seat().is_some()));
    SHARED.with(|cores| {
        IN_BETWEEN.set(Some(handler));
        let seat = cores.cores.own_seat().map(core::ptr::from_ref);
        assert_eq!(
            seat,
            cores.cores.seats.newest().expect("a table").seat_of(1).map(core::ptr::from_ref),
            "the handler's is its own"
        );
        assert_eq!(TABLES.get(), before + 1);
    });
}

/// Numbers that differ as addresses of threads do: by parts of OS pages, or by stacks.
#[test]
fn threads_want_seats_of_their_own() {
    for step in [1, 64, 0x20_1000] {
        let mut wanted = [false; 1024];
        (1..=256).for_each(|thread| wanted[spread(thread * step) / size_of::<Seat>() % 1024] = true);
        let seats = wanted.iter().filter(|is_wanted| **is_wanted).count();
        assert!(seats >= 200, "256 threads, {step} apart, want {seats} seats");
    }
}
