//! Run it with `cargo run --release` in this folder, and on RISC-V with `--target riscv32imac-unknown-none-elf`.
//!
//! A heap of 8 KiB in a global allocator that interrupts use at any moment. Blocks go from the handler to the main program and back.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use coreheap_bare::Coreheap;
use critical_section::Mutex;
use semihosting::println;
use smoke::{SIZES, Work, block, board, check, done};

#[global_allocator]
static HEAP: Watched = Watched { heap: Coreheap::new(), is_inside: AtomicBool::new(false) };

const INTERRUPTS: u32 = 20_000;

/// What the handler gave to the main program, or the other way round.
static MAILBOX: Mutex<RefCell<Vec<u8>>> = Mutex::new(RefCell::new(Vec::new()));
/// How many interrupts there were; among them those that found the main program inside the heap, and requests that were refused.
static COUNT: AtomicU32 = AtomicU32::new(0);
static INSIDE: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

#[board::entry]
fn main() -> ! {
    let mut work = Work::new();
    let mut steps = 0;
    board::start_timer(interrupt);
    while COUNT.load(Relaxed) < INTERRUPTS {
        work.step();
        steps += 1;
        exchange(block(SIZES[steps % SIZES.len()]).unwrap_or_default());
    }
    board::stop_timer();
    exchange(Vec::new());
    let (inside, refused) = (INSIDE.load(Relaxed), REFUSED.load(Relaxed));
    println!("{steps} steps, {INTERRUPTS} interrupts, {inside} of them during an allocation or a free");
    println!("{} and {refused} requests were refused\n{}", work.refused, HEAP.heap.heap().stats());
    HEAP.heap.heap().assert_valid();
    drop(work);
    assert_eq!(HEAP.heap.heap().stats().used, 0, "bytes that nobody freed");
    assert!(inside > INTERRUPTS / 20, "too few to show anything");
    done()
}

fn interrupt() -> u32 {
    let count = COUNT.load(Relaxed) + 1;
    COUNT.store(count, Relaxed);
    if HEAP.is_inside.load(Relaxed) {
        INSIDE.store(INSIDE.load(Relaxed) + 1, Relaxed);
    }
    match block(SIZES[count as usize % SIZES.len()]) {
        Some(block) => exchange(block),
        None => REFUSED.store(REFUSED.load(Relaxed) + 1, Relaxed),
    }
    board::PERIOD
}

/// Puts a block into the mailbox; checks and frees the one that was there.
fn exchange(block: Vec<u8>) {
    let other = critical_section::with(|token| MAILBOX.replace(token, block));
    check(&other);
}

/// A heap that can be asked whether somebody is in it.
struct Watched {
    heap: Coreheap<8192>,
    is_inside: AtomicBool,
}

impl Watched {
    fn watch<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.is_inside.load(Relaxed);
        self.is_inside.store(true, Relaxed);
        let result = work();
        self.is_inside.store(before, Relaxed);
        result
    }
}

// SAFETY: the heap's.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.watch(|| unsafe { self.heap.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.watch(|| unsafe { self.heap.dealloc(pointer, layout) });
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.watch(|| unsafe { self.heap.realloc(pointer, layout, new_size) })
    }
}
