//! Measures one allocator of the table, by its number, in a region of `BYTES`: `count` gives instructions, `fill` gives how full it can be.
#![no_std]
#![no_main]

#[cfg_attr(target_arch = "arm", path = "../cortex_m.rs")]
#[cfg_attr(target_arch = "riscv32", path = "../riscv.rs")]
mod board;
#[path = "../nops.rs"]
mod nops;

use core::alloc::{GlobalAlloc, Layout};

use coreheap_bench_bare::count::{self, CALLS, MOST_COUNTS};
use coreheap_bench_bare::{fill, *};
use semihosting::{experimental::env, println, process};

include!(concat!(env!("OUT_DIR"), "/bytes.rs"));

/// talc's crate links `alloc`, which wants one.
#[global_allocator]
static NOTHING: Nothing = Nothing;

static MEMORY: Memory<BYTES> = Memory::new();

/// Seeds of `fill`, one after the other in the same heap.
const SEEDS: u64 = 25;

#[board::entry]
fn main() -> ! {
    board::start();
    let arguments = env::args::<64>().expect("QEMU has a command line");
    let mut words = (&arguments).map(|word| word.expect("the command line is text"));
    let mut word = || words.next().expect("a program, what to measure, and a number");
    let (_program, what, number) = (word(), word(), word());
    let is_there = measure(number.parse().expect("the place in the table"), what);
    if !is_there {
        println!("cannot be used");
    }
    process::exit(0)
}

macro_rules! measure {
    ($($(#[$cfg:meta])? $name:literal => $heap:ty,)*) => {
        /// False if there is no such allocator on this target, or it cannot use the region.
        fn measure(wanted: usize, what: &str) -> bool {
            let mut number = 0;
            $(
                if number == wanted {
                    $(#[$cfg])?
                    {
                        static HEAP: $heap = <$heap>::NEW;
                        return measure_heap(&HEAP, what);
                    }
                }
                number += 1;
            )*
            number < wanted
        }
    };
}

for_each_peer!(measure);

fn measure_heap<A: Peer>(heap: &'static A, what: &str) -> bool {
    // SAFETY: the only heap of this run.
    if !unsafe { heap.take(MEMORY.region()) } {
        return false;
    }
    match what {
        "count" => count_calls(heap),
        "fill" => fill_up(heap),
        _ => panic!("`{what}` cannot be measured"),
    }
    true
}

fn fill_up<A: GlobalAlloc>(heap: &A) {
    let mut blocks = fill::Blocks::new();
    for seed in 0..SEEDS {
        let fill::Outcome { live, requests, refused } = fill::run(heap, &mut blocks, BYTES, seed);
        println!("fill {live} {requests} {refused}");
    }
}

fn count_calls<A: GlobalAlloc>(heap: &A) {
    nops::check(board::now, board::instructions);
    let mut floor = [u32::MAX; CALLS.len()];
    count::run(&Same, board::now, |call, ticks| {
        let least = &mut floor[call as usize];
        *least = board::instructions(ticks).min(*least);
    });
    let mut counts = [[0; MOST_COUNTS]; CALLS.len()];
    let mut lengths = [0; CALLS.len()];
    let refused = count::run(heap, board::now, |call, ticks| {
        let place = call as usize;
        counts[place][lengths[place]] = board::instructions(ticks) - floor[place];
        lengths[place] += 1;
    });
    for (place, name) in CALLS.iter().enumerate() {
        let counts = &mut counts[place][..lengths[place]];
        counts.sort_unstable();
        let [median, most] = [counts.len() / 2, counts.len() - 1].map(|rank| counts[rank]);
        println!("{name} {median} {} {most}", counts[counts.len() * 99 / 100]);
    }
    println!("refused {refused}");
}

/// Always the same block: what is left of a call without an allocator.
struct Same;

// SAFETY: none of the rules of `GlobalAlloc`; the blocks are not written to.
unsafe impl GlobalAlloc for Same {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        MEMORY.region().as_ptr().cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        core::hint::black_box(block);
    }

    unsafe fn realloc(&self, block: *mut u8, _: Layout, _: usize) -> *mut u8 {
        block
    }
}
