use core::alloc::Layout;
use core::cell::Cell;
use std::alloc::{alloc_zeroed, dealloc};
use std::collections::BTreeSet;
use std::thread_local;
use std::vec::Vec;

use super::*;
use crate::cores::core_local::tests::{Cores, Four, class, pushes_and_pops};

mod inside;
mod seats;

thread_local! {
    /// Which thread this one plays.
    static THREAD: Cell<usize> = const { Cell::new(1) };
    static PROCESS: Cell<u32> = const { Cell::new(1) };
    static CORES: Cell<usize> = const { Cell::new(1) };
    static CAN_BAR: Cell<bool> = const { Cell::new(true) };
    static BARRIERS: Cell<usize> = const { Cell::new(0) };
    static CAN_GROW: Cell<bool> = const { Cell::new(true) };
    /// How many tables there are, of all values.
    static TABLES: Cell<usize> = const { Cell::new(0) };
    /// A signal handler that comes in while the next table is made.
    static IN_BETWEEN: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// As many threads as a test wants, played by one.
struct Played;

// SAFETY: one thread plays all.
unsafe impl Threads for Played {
    fn this() -> usize {
        THREAD.get()
    }

    fn barrier() -> bool {
        BARRIERS.set(BARRIERS.get() + 1);
        CAN_BAR.get()
    }

    fn cores() -> usize {
        CORES.get()
    }

    fn table(bytes: usize) -> Option<NonNull<u8>> {
        if let Some(handler) = IN_BETWEEN.take() {
            handler();
        }
        if !CAN_GROW.get() {
            return None;
        }
        TABLES.set(TABLES.get() + 1);
        // SAFETY: not of size 0.
        NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, 64).expect("a table")) })
    }

    unsafe fn return_table(table: NonNull<u8>, bytes: usize) {
        TABLES.set(TABLES.get() - 1);
        // SAFETY: from there.
        unsafe { dealloc(table.as_ptr(), Layout::from_size_align(bytes, 64).expect("a table")) };
    }

    fn generation() -> u32 {
        PROCESS.get()
    }
}

/// A value of its own for a test, with which nothing has happened yet.
fn fresh<const CORE_HEAPS: usize, const SEATS: usize>() -> Cores<Leased<Played, CORE_HEAPS, SEATS>> {
    PROCESS.set(1);
    CORES.set(1);
    CAN_BAR.set(true);
    CAN_GROW.set(true);
    play(1);
    Cores::new(Leased::default())
}

/// Plays this thread from now on.
fn play(thread: usize) {
    THREAD.set(thread);
}

/// How many barriers `work` takes, and what it returns.
fn barriers<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = BARRIERS.get();
    let result = work();
    (BARRIERS.get() - before, result)
}

/// Core heaps, all made; so many threads, from 1 on, have one each, and in its magazine a block with their number.
fn leased<const SEATS: usize>(threads: usize) -> Cores<Leased<Played, HEAPS_PER_CORE, SEATS>> {
    let mut cores = fresh();
    (0..HEAPS_PER_CORE).for_each(|core| cores.make(core));
    for thread in 1..=threads {
        play(thread);
        assert_eq!(cores.cores.core(), thread - 1, "the first that nobody has");
        assert!(cores.push(64 * thread));
    }
    cores
}

#[test]
fn a_lessee_pops_what_it_pushed() {
    pushes_and_pops(fresh::<HEAPS_PER_CORE, 64>(), 0, |cores| assert_eq!(cores.core(), 0));
}

#[test]
fn there_are_a_few_core_heaps_for_each_core() {
    for (cores, count) in [(0, 1), (1, HEAPS_PER_CORE), (3, 3 * HEAPS_PER_CORE), (1000, 100)] {
        let leased = &fresh::<100, 64>().cores;
        CORES.set(cores);
        assert_eq!(leased.core_count(), count, "{cores} cores");
        CORES.set(7);
        assert_eq!(leased.core_count(), count, "asked once");
    }
}

#[test]
fn a_thread_gets_a_free_core_heap_or_is_told_which_to_make() {
    let mut cores = fresh::<HEAPS_PER_CORE, 64>();
    for core in 0..HEAPS_PER_CORE {
        play(core + 1);
        assert_eq!(cores.cores.core(), core, "there is none that is free");
        assert!(!cores.push(64), "it is not made yet");
        cores.make(core);
        assert!(!cores.push(64), "it is nobody's yet");
        assert_eq!([cores.cores.core(), cores.cores.core()], [core; 2]);
        assert!(cores.push(64));
    }
    for core in 0..HEAPS_PER_CORE {
        play(core + 1);
        assert_eq!((barriers(|| cores.cores.core()), cores.pop(), cores.pop()), ((0, core), Some(64), None));
    }
}

/// `PATIENCE`: the barrier is dear.
#[test]
fn where_all_are_leased_a_patient_thread_takes_one() {
    let cores = leased::<64>(HEAPS_PER_CORE);
    play(77);
    for miss in 0..PATIENCE {
        let (barriers, core) = barriers(|| cores.cores.core());
        assert!(barriers == 0 && core < HEAPS_PER_CORE, "it makes do with core {core} at miss {miss}");
        assert!(!cores.push(640));
    }
    let (barriers, core) = barriers(|| cores.cores.core());
    assert_eq!((barriers, cores.pop()), (1, Some(64 * (core + 1))), "with what is ready there");
    // Who had it has none now, until it is patient itself.
    play(core + 1);
    assert!(!cores.push(64) && cores.pop().is_none());
    let others: Vec<usize> = (1..=HEAPS_PER_CORE).filter(|thread| *thread != core + 1).collect();
    for thread in others {
        play(thread);
        assert_eq!(cores.pop(), Some(64 * thread), "the others keep theirs");
    }
    play(core + 1);
    (0..PATIENCE).for_each(|_| _ = cores.cores.core());
    assert!(!cores.push(64));
    let taken = cores.cores.core();
    assert_ne!(taken, core, "each lessee has its turn");
    assert!(cores.push(64));
}

#[test]
fn each_lessee_has_its_turn() {
    let cores = leased::<64>(HEAPS_PER_CORE);
    let taken: BTreeSet<usize> = (77..77 + HEAPS_PER_CORE)
        .filter_map(|thread| {
            play(thread);
            (0..=PATIENCE).map(|_| cores.cores.core()).last()
        })
        .collect();
    assert_eq!(taken.len(), HEAPS_PER_CORE);
}

#[test]
fn a_signal_handler_in_the_middle_of_a_pop_goes_without() {
    let cores = leased::<64>(2);
    play(1);
    // SAFETY: the tests' geometry.
    let inside = unsafe { cores.cores.enter::<Four>() };
    // Whichever way it takes, it gets nothing, and nobody else gets in.
    assert_eq!((cores.cores.core(), cores.push(640), cores.pop()), (0, false, None));
    assert_eq!((cores.push_many(&[640]), cores.pop_many(2)), ([640].to_vec(), Vec::new()));
    play(2);
    assert_eq!(cores.inside(0), None);
    play(1);
    drop(inside);
    assert_eq!((cores.pop(), cores.pop()), (Some(64), None), "it goes on");
}

/// The core that a seat names is a hint.
#[test]
fn a_lessee_finds_its_core_heap_whatever_the_hint_says() {
    let cores = leased::<64>(HEAPS_PER_CORE);
    for thread in 1..=HEAPS_PER_CORE {
        play(thread);
        for hint in 0..HEAPS_PER_CORE {
            cores.cores.own_seat().expect("it has one").core.store(hint, Ordering::Relaxed);
            assert_eq!(cores.cores.core(), thread - 1);
        }
    }
}

#[test]
fn who_stands_still_inside_a_pop_keeps_its_lease() {
    let cores = leased::<64>(HEAPS_PER_CORE);
    let seat_of = |thread| cores.cores.seats.newest().expect("a table").seat_of(thread).expect("a seat");
    (1..=HEAPS_PER_CORE).filter(|thread| *thread != 3).for_each(|thread| seat_of(thread).busy.store(1, Ordering::Relaxed));
    play(77);
    (0..PATIENCE).for_each(|_| _ = cores.cores.core());
    assert_eq!((cores.cores.core(), cores.pop()), (2, Some(192)), "the only one that can be had");
    assert_eq!((cores.inside(0), cores.inside(2)), (None, Some([].to_vec())));
    play(1);
    assert!(!cores.push(640), "a signal handler, in the middle of a pop");
    seat_of(1).busy.store(0, Ordering::Relaxed);
    assert_eq!(cores.pop(), Some(64), "it has kept its lease");
    // All four are busy.
    (1..=HEAPS_PER_CORE).chain([77]).for_each(|thread| {
        if thread != 3 {
            seat_of(thread).busy.store(1, Ordering::Relaxed);
        }
    });
    play(78);
    let (barriers, core) = self::barriers(|| (0..=PATIENCE).map(|_| cores.cores.core()).last());
    assert!(barriers == VICTIMS && core < Some(HEAPS_PER_CORE) && !cores.push(640));
    let again = self::barriers(|| (0..PATIENCE).for_each(|_| _ = cores.cores.core())).0;
    assert_eq!(again, 0, "it is patient again");
}

#[test]
fn who_is_alone_on_a_core_heap_gives_it_back_to_its_lessee() {
    let cores = leased::<64>(2);
    play(1);
    let is_left_alone = |heap: &CoreHeap<Four>| {
        // SAFETY: a class of the geometry.
        let inside = unsafe { heap.magazine(class()) }.count();
        let mine = THREAD.replace(1);
        let pushed = cores.push(640);
        play(mine);
        (inside, pushed, cores.inside(0))
    };
    for (thread, expected) in [(1, 0), (2, 1), (77, 1)] {
        play(thread);
        // SAFETY: the tests' geometry.
        let (barriers, seen) = barriers(|| unsafe { cores.cores.alone_on::<Four, _>(0, is_left_alone) });
        assert_eq!(seen, Some((1, false, None)), "the lessee is kept off, and so is who wants to be alone as well");
        assert_eq!(barriers, expected, "thread {thread} needs none against itself");
    }
    play(77);
    assert_eq!(barriers(|| cores.inside(3)), (0, Some([].to_vec())), "nobody's");
    play(1);
    assert_eq!((cores.cores.core(), cores.pop()), (0, Some(64)), "it is the lessee's again");
}

#[test]
fn without_a_barrier_nothing_is_taken_from_others() {
    let cores = leased::<64>(HEAPS_PER_CORE);
    CAN_BAR.set(false);
    play(77);
    assert_eq!(cores.inside(0), None);
    (0..=PATIENCE).for_each(|_| _ = cores.cores.core());
    assert!(!cores.push(640));
    // SAFETY: the tests' geometry.
    let busy = unsafe { cores.cores.alone_on_each::<Four>(|_| panic!("no core heap can be had")) };
    assert_eq!(busy, None, "none that it would help to wait for");
    for thread in 1..=HEAPS_PER_CORE {
        play(thread);
        assert_eq!(cores.pop(), Some(64 * thread), "each has kept its own");
    }
}

#[test]
fn one_barrier_is_enough_for_all() {
    let cores = leased::<64>(3);
    let visit = |thread| {
        play(thread);
        let mut visited = Vec::new();
        // SAFETY: a class of the geometry.
        let work = |heap: &CoreHeap<Four>| visited.push(unsafe { heap.magazine(class()) }.addresses(false).collect::<Vec<_>>());
        // SAFETY: the tests' geometry.
        let (barriers, busy) = barriers(|| unsafe { cores.cores.alone_on_each::<Four>(work) });
        (barriers, busy, visited)
    };
    let [first, second, third] = [64, 128, 192].map(|address| [address].to_vec());
    assert_eq!(visit(77), (1, None, [first.clone(), second, third.clone(), Vec::new()].to_vec()));
    let seat = cores.cores.seats.newest().expect("a table").seat_of(2).expect("a seat");
    seat.busy.store(1, Ordering::Relaxed);
    assert_eq!(visit(1), (1, Some(1), [first, third, Vec::new()].to_vec()), "one is busy");
    seat.busy.store(0, Ordering::Relaxed);
    for thread in 1..=3 {
        play(thread);
        assert_eq!(cores.pop(), Some(64 * thread), "each has its own again");
    }
    // Who has all that is leased needs none.
    let cores = leased::<64>(1);
    // SAFETY: the tests' geometry.
    assert_eq!(barriers(|| unsafe { cores.cores.alone_on_each::<Four>(|_| ()) }), (0, None));
}

/// There are more core heaps than one barrier is for; most are not made.
#[test]
fn core_heaps_that_were_not_made_are_passed_by() {
    fn all_are_visited<const COUNT: usize>(made: &[usize]) {
        let mut cores = fresh::<COUNT, 64>();
        CORES.set(25);
        made.iter().for_each(|core| cores.make(*core));
        let mut visited = 0;
        // SAFETY: the tests' geometry.
        let busy = unsafe { cores.cores.alone_on_each::<Four>(|_| visited += 1) };
        assert_eq!((busy, visited), (None, made.len()));
    }
    all_are_visited::<100>(&[0, TAKEN_AT_ONCE - 1, TAKEN_AT_ONCE, 99]);
    all_are_visited::<{ TAKEN_AT_ONCE + 1 }>(&[1, TAKEN_AT_ONCE]);
    all_are_visited::<TAKEN_AT_ONCE>(&[TAKEN_AT_ONCE - 1]);
}

/// E3: who has taken a core heap finds that its lessee has got another one meanwhile.
#[test]
fn a_thread_that_got_another_core_heap_meanwhile_does_not_get_two() {
    let cores = leased::<64>(1);
    let other = |_: &CoreHeap<Four>| {
        assert_eq!(cores.cores.core(), 1, "its own is out");
        assert!(cores.push(128));
    };
    // SAFETY: the tests' geometry.
    assert!(unsafe { cores.cores.alone_on::<Four, _>(0, other) }.is_some());
    assert_eq!((cores.cores.core(), cores.pop()), (1, Some(128)));
    play(2);
    assert_eq!((cores.cores.core(), cores.pop()), (0, Some(64)), "the first is nobody's");
}

/// J2: a seat is one thread's for good.
#[test]
fn where_there_is_no_memory_for_seats_threads_do_without() {
    let cores = leased::<2>(2);
    CAN_GROW.set(false);
    play(77);
    let (barriers, core) = barriers(|| (0..=PATIENCE).map(|_| cores.cores.core()).last());
    assert!(barriers == 0 && core < Some(HEAPS_PER_CORE));
    assert!(!cores.push(640) && cores.pop().is_none());
    for thread in 1..=2 {
        play(thread);
        assert_eq!(cores.pop(), Some(64 * thread));
    }
}

/// E5: what threads of a parent process were in the middle of does not count in the child.
#[test]
fn marks_of_a_parent_process_are_void() {
    let cores = leased::<64>(2);
    let seat_of = |thread| cores.cores.seats.newest().expect("a table").seat_of(thread).expect("a seat");
    // In the parent thread 1 was inside a pop, core heap 1 was out, core heap 2 was about to go to somebody.
    seat_of(1).busy.store(1, Ordering::Relaxed);
    core::mem::forget(cores.cores.begin_to_take(1));
    core::mem::forget(cores.cores.begin_to_take(2));
    play(77);
    assert_eq!((cores.inside(0), cores.inside(1), cores.inside(2)), (None, None, None));
    PROCESS.set(2);
    assert_eq!(cores.inside(0), Some([64].to_vec()), "thread 1 is not there any more");
    assert_eq!(cores.inside(1), Some([128].to_vec()), "nor is who had taken it");
    assert_eq!(cores.inside(2), Some([].to_vec()));
    play(1);
    assert!(!cores.push(640), "a thread of the same number: until it has asked for a core");
    assert_eq!((cores.cores.core(), cores.pop()), (0, Some(64)));
}

/// E5: who had taken it may have left its address in the lessee's seat.
#[test]
fn a_core_heap_that_was_out_at_a_fork_goes_back_to_its_lessee() {
    let cores = leased::<64>(2);
    let seat = cores.cores.seats.newest().expect("a table").seat_of(2).expect("a seat");
    let heap = seat.heap.load(Ordering::Relaxed);
    core::mem::forget(cores.cores.begin_to_take(1));
    seat.heap.store(heap, Ordering::Relaxed);
    PROCESS.set(2);
    play(77);
    assert_eq!(cores.inside(1), Some([128].to_vec()));
    assert!(core::ptr::eq(cores.cores.lessees[1].load(Ordering::Relaxed), seat), "E3");
    play(2);
    assert_eq!((cores.cores.core(), cores.pop()), (1, Some(128)));
}

#[test]
fn where_no_more_core_heaps_can_be_made_leases_still_go_round() {
    let mut cores = fresh::<2, 4>();
    cores.make(0);
    assert!(cores.cores.core() == 0 && cores.push(64));
    for thread in 2..4 {
        play(thread);
        assert!((0..10).all(|_| cores.cores.core() == 1) && !cores.push(64), "it is patient");
        assert!((0..100).any(|_| cores.cores.core() == 0) && cores.push(64), "thread {thread}");
    }
    play(2);
    assert!(!cores.push(64), "there is one lease");
}
