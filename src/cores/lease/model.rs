//! Models of leases: a lessee that pops and pushes against who takes the core heap away, or wants the lease itself.

use core::alloc::Layout;
use std::alloc::{alloc_zeroed, dealloc};
use std::cell::Cell;
use std::vec::Vec;

use super::*;
use crate::base::sync::model::{Arc, explore, fence, thread, thread_local};
use crate::cores::core_local::model::{World, drain, pop, push, push_and_pop};

thread_local! {
    static NUMBER: Cell<usize> = Cell::new(1);
}

#[derive(Debug)]
struct Numbered;

// SAFETY: each thread of a model has a number of its own; the fence pairs with that of `light_fence`.
unsafe impl Threads for Numbered {
    fn this() -> usize {
        NUMBER.with(Cell::get)
    }

    fn barrier() -> bool {
        fence(Ordering::SeqCst);
        true
    }

    fn cores() -> usize {
        1
    }

    fn table(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: not of size 0.
        NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(bytes, 64).unwrap()) })
    }

    unsafe fn return_table(table: NonNull<u8>, bytes: usize) {
        // SAFETY: from there.
        unsafe { dealloc(table.as_ptr(), Layout::from_size_align(bytes, 64).unwrap()) };
    }
}

type Cores<const HEAPS: usize> = World<Leased<Numbered, HEAPS, 2>>;

impl<const HEAPS: usize> Leased<Numbered, HEAPS, 2> {
    /// E1 and E3, while nobody has taken a core heap.
    fn assert_valid(&self) {
        for seat in self.seats.iter() {
            let heap = seat.heap.load(Ordering::Relaxed);
            let its = self
                .slots
                .iter()
                .zip(&self.lessees)
                .find(|(slot, _)| core::ptr::eq(slot.address(), heap) && heap.addr() > MOVED.addr());
            if let Some((_, lessee)) = its {
                assert!(core::ptr::eq(lessee.load(Ordering::Relaxed), seat), "E3: who has a core heap is its lessee");
                let newest = self.seats.newest().expect("a table").seat_of(seat.thread.load(Ordering::Relaxed));
                assert!(newest.is_none_or(|newest| core::ptr::eq(newest, seat)), "E1: no lease is left at an old seat");
            }
        }
    }
}

/// Cores with some core heaps, the first leased to this thread; in its magazine is the block at 64.
fn leased<const HEAPS: usize>() -> Arc<Cores<HEAPS>> {
    let world = World::new(Leased::new());
    assert_eq!(push(&world, 64), Some(64), "no lease yet");
    assert_eq!(world.cores.core(), 0);
    assert_eq!(push(&world, 64), None);
    world
}

/// The same, without a lease.
fn leased_to_nobody() -> Arc<Cores<1>> {
    let world = World::new(Leased::new());
    world.fill(0, 64);
    world
}

/// Whatever this thread does while another does something else: every block is in one place, and each lessee has its core heap.
fn every_block_is_in_one_place<const HEAPS: usize>(
    new: fn() -> Arc<Cores<HEAPS>>,
    mine: fn(&Cores<HEAPS>) -> Vec<usize>,
    theirs: fn(&Cores<HEAPS>) -> Vec<usize>,
    blocks: &'static [usize],
) {
    explore(move || {
        let world = new();
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                NUMBER.with(|number| number.set(2));
                theirs(&world)
            })
        };
        let mut all = mine(&world);
        all.extend(other.join().unwrap());
        world.cores.assert_valid();
        all.extend((0..HEAPS).flat_map(|core| drain(&world, core)));
        all.sort();
        assert_eq!(all, blocks);
    });
}

#[test]
fn lessee_against_drain() {
    every_block_is_in_one_place::<1>(leased, |cores| push_and_pop(cores, 128), |cores| drain(cores, 0), &[64, 128]);
}

#[test]
fn lease_moves_to_another_thread() {
    let take_over = |cores: &Cores<1>| {
        let seat = cores.cores.own_seat().expect("there are two seats");
        cores.cores.hand_over(0, seat);
        push_and_pop(cores, 192)
    };
    every_block_is_in_one_place(leased, |cores| push_and_pop(cores, 128), take_over, &[64, 128, 192]);
}

/// A thread whose core heap is out for another's work may get the second one meanwhile: then the first is nobody's.
#[test]
fn lessee_gets_another_while_its_own_is_out() {
    let go_on = |cores: &Cores<2>| {
        cores.cores.core();
        push_and_pop(cores, 128)
    };
    every_block_is_in_one_place(leased, go_on, |cores| drain(cores, 0), &[64, 128]);
}

#[test]
fn one_of_two_drains_gets_what_nobody_leases() {
    every_block_is_in_one_place(leased_to_nobody, |cores| drain(cores, 0), |cores| drain(cores, 0), &[64]);
}

#[test]
fn a_lease_of_what_nobody_leases_against_a_drain() {
    let lease = |cores: &Cores<1>| {
        cores.cores.core();
        push_and_pop(cores, 128)
    };
    every_block_is_in_one_place(leased_to_nobody, lease, |cores| drain(cores, 0), &[64, 128]);
}

/// As [`leased`], and there is a newer table, to which the thread has not moved yet.
fn about_to_move<const HEAPS: usize>() -> Arc<Cores<HEAPS>> {
    let world = leased();
    assert!(world.cores.seats.grow(world.cores.seats.newest()));
    world
}

fn move_on<const HEAPS: usize>(cores: &Cores<HEAPS>) -> Vec<usize> {
    cores.cores.core();
    push_and_pop(cores, 128)
}

#[test]
fn a_thread_moves_beside_a_drain() {
    every_block_is_in_one_place::<1>(about_to_move, move_on, |cores| drain(cores, 0), &[64, 128]);
}

#[test]
fn a_thread_moves_while_another_takes_its_lease() {
    let take_over = |cores: &Cores<1>| {
        let seat = cores.cores.own_seat().expect("there are seats");
        cores.cores.hand_over(0, seat);
        push_and_pop(cores, 192)
    };
    every_block_is_in_one_place(about_to_move, move_on, take_over, &[64, 128, 192]);
}

/// The other one makes the table, and looks for its seat there.
#[test]
fn a_thread_pops_and_moves_beside_one_that_makes_room() {
    let pop_and_move = |cores: &Cores<2>| {
        let mut mine = push_and_pop(cores, 128);
        cores.cores.core();
        mine.extend(pop(cores));
        mine
    };
    let make_room = |cores: &Cores<2>| {
        cores.cores.seats.grow(cores.cores.seats.newest());
        cores.cores.core();
        push_and_pop(cores, 192)
    };
    every_block_is_in_one_place(leased, pop_and_move, make_room, &[64, 128, 192]);
}
