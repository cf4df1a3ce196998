//! Run it with `cargo run --release --bin exclusive` in this folder, and on RISC-V with `--target riscv32imac-unknown-none-elf`.
//!
//! A heap of 8 KiB for a program whose interrupts do not allocate: no target needs more than loads and stores for it.
#![no_std]
#![no_main]

use coreheap_bare::ExclusiveHeap;
use semihosting::println;
use smoke::{Work, block, board, done};

#[global_allocator]
// SAFETY: one core, and no tasks.
static HEAP: ExclusiveHeap<8192> = unsafe { ExclusiveHeap::new() };

#[board::entry]
fn main() -> ! {
    let mut work = Work::new();
    (0..100_000).for_each(|_| work.step());
    assert!(block(8192).is_none(), "8 KiB are not enough for tables and 8 KiB");
    println!("100000 steps, {} requests were refused", work.refused);
    println!("{}", HEAP.heap().stats());
    HEAP.heap().assert_valid();
    drop(work);
    assert_eq!(HEAP.heap().stats().used, 0, "bytes that nobody freed");
    assert!(block(6000).is_some(), "most of the 8 KiB, when all is free");
    done()
}
