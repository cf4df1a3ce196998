//! Run it with `cargo xtask example wasi`, or with `cargo run --release -- 1000000` in this folder, for so many lines.
//!
//! A program for WASI whose heap is coreheap: it writes a log, reads it again, and says who was there most often, and what the heap has to
//! say of it. The C library's `malloc` is in the same memory, for the C library.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::env;

#[global_allocator]
static HEAP: coreheap_wasm::Coreheap = coreheap_wasm::Coreheap::new();

const PLACES: usize = 50;

/// What a visitor did.
#[derive(Default)]
struct Visitor {
    lines: Vec<usize>,
    places: BTreeMap<String, usize>,
}

fn main() {
    let count = env::args().nth(1).map_or(100_000, |number| number.parse().expect("the argument is a number of lines"));
    let log = write(count);
    let visitors = read(&log);

    let mut order: Vec<_> = visitors.iter().collect();
    order.sort_by_key(|(name, visitor)| (Reverse(visitor.lines.len()), *name));
    for (name, Visitor { lines, places }) in order.iter().take(3) {
        let (place, times) = places.iter().max_by_key(|(_, times)| **times).expect("there is one for each line");
        println!("{name}: {} visits, the last in line {}; {times} of them to {place}", lines.len(), lines[lines.len() - 1]);
    }
    let visits: usize = visitors.values().flat_map(|visitor| visitor.places.values()).sum();
    assert_eq!(visits, count, "every line is a visit");
    println!("{count} lines, {} visitors; the heap: {}", visitors.len(), HEAP.heap().stats());
    drop(order);
    drop(visitors);
    drop(log);
    println!("afterwards: {}", HEAP.heap().stats());
    println!("all is well");
}

/// A log: few visitors come often.
fn write(count: usize) -> String {
    let mut random = 1_u64;
    let mut below = |limit: usize| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (random >> 33) as usize % limit
    };
    let mut log = String::new();
    for _ in 0..count {
        let most = below(1000);
        let (visitor, place) = (below(1 + most), below(PLACES));
        log += &format!("visitor-{visitor:03} place-{place}\n");
    }
    log
}

fn read(log: &str) -> HashMap<&str, Visitor> {
    let mut visitors = HashMap::<&str, Visitor>::new();
    for (line, (name, place)) in log.lines().filter_map(|line| line.split_once(' ')).enumerate() {
        let visitor = visitors.entry(name).or_default();
        visitor.lines.push(line + 1);
        *visitor.places.entry(place.to_string()).or_default() += 1;
    }
    visitors
}
