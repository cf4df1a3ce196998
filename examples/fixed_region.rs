//! Run it with `cargo run --release --example fixed_region`.
//!
//! A whole program out of 64 KiB of static memory: no operating system is asked for any. What does not fit is refused, and the
//! program goes on. On bare metal the same lines do; `std` is here only to print.

use std::collections::BTreeMap;

use coreheap::SmallHeap;
use coreheap::sources::FixedRegion;

const SIZE: usize = 64 * 1024;

/// The memory. Nobody but the heap touches it.
static mut MEMORY: [u8; SIZE] = [0; SIZE];

// SAFETY: `MEMORY` is named here only. Any thread may use the heap, and on bare metal any interrupt.
#[global_allocator]
static HEAP: SmallHeap<FixedRegion> = SmallHeap::new(unsafe { FixedRegion::over((&raw mut MEMORY).cast(), SIZE) });

fn main() {
    println!("A heap of {SIZE} bytes.");
    let mut squares = BTreeMap::new();
    for number in 0..200_u32 {
        squares.insert(format!("{number} squared"), number * number);
    }
    println!("{} names and numbers; 12 squared is {}", squares.len(), squares["12 squared"]);

    // Too much: an error, not the end.
    let refused = Vec::<u8>::new().try_reserve(SIZE).is_err();
    println!("{SIZE} bytes at once are refused: {refused}");

    // Until nothing is left, twice: what was freed is there again.
    let (first, second) = (fill(), fill());
    println!("beside them there is room for {first} blocks of 1000 bytes, and when those are freed for {second}");
    drop(squares);
    println!("at the end: {}", HEAP.stats());
    assert!(refused && first > 0 && first == second);
}

/// How many blocks of 1000 bytes can be had before the first refusal.
fn fill() -> usize {
    let mut blocks = [const { Vec::<u8>::new() }; SIZE / 1000];
    blocks.iter_mut().map(|block| block.try_reserve_exact(1000)).take_while(Result::is_ok).count()
}
