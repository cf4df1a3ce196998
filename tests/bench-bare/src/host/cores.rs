//! Boxes that cores exchange: threads of this machine, and harts in QEMU.

use std::cell::Cell;
use std::io;
use std::sync::{Barrier, Once};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_bench::numbers::median;
use coreheap_bench::table::{Table, write_csv};
use coreheap_bench_bare::exchange::{BYTES, Exchange};
use coreheap_bench_bare::*;

use crate::firmware::{Program, numbers, run_harts};

const CORES: [usize; 3] = [1, 2, 4];
/// How long a run is, here and in `harts.rs`.
const TIME: Duration = Duration::from_millis(500);

macro_rules! measure_all {
    ($($name:literal => $heap:ty,)*) => {
        const NAMES: &[&str] = &[$($name),*];

        /// Pairs in one run of each.
        fn measure_all(threads: usize) -> Vec<f64> {
            vec![$({
                static HEAP: $heap = <$heap>::NEW;
                static MEMORY: Memory<BYTES> = Memory::new();
                static START: Once = Once::new();
                // SAFETY: once, and nobody else's.
                START.call_once(|| assert!(unsafe { HEAP.take(MEMORY.region()) }, "{} is as big as it likes", $name));
                measure(&HEAP, threads)
            }),*]
        }
    };
}

for_each_shared_peer!(measure_all);

/// Runs all, in rounds that take turns, and prints.
pub fn run(rounds: usize) -> io::Result<()> {
    let title =
        "Boxes that cores exchange, million pairs of allocate and free a second: threads of this machine, and harts in QEMU";
    let columns = ["threads", "harts"].iter().flat_map(|what| CORES.map(|count| format!("{what}: {count}")));
    let mut table = Table::new(title.into(), columns);
    let program =
        Program { name: "harts", target: "riscv64gc-unknown-none-elf", opt_level: "3", bytes: BYTES, heap: None }.build()?;
    let mut csv = Vec::new();
    // For each allocator the values of each column.
    let mut values = vec![vec![Vec::new(); 2 * CORES.len()]; NAMES.len()];
    for round in 0..rounds {
        for (place, cores) in CORES.into_iter().enumerate() {
            let lines = run_harts(&program, cores)?;
            let harts = numbers(&lines, "pairs").map(|pairs| pairs[0]).collect();
            for (what, column, pairs) in [("threads", place, measure_all(cores)), ("harts", CORES.len() + place, harts)] {
                for (name, (values, pairs)) in NAMES.iter().zip(values.iter_mut().zip(pairs)) {
                    let rate = pairs / TIME.as_secs_f64() / 1e6;
                    csv.push(format!("\"{name}\",{cores} {what},{round},{rate}"));
                    values[column].push(rate);
                }
            }
        }
    }
    for (name, columns) in NAMES.iter().zip(&mut values) {
        table.row(name, columns.iter_mut().map(|values| format!("{:.2}", median(values))).collect());
    }
    table.print();
    write_csv("bare-cores.csv", "allocator,cores,round,million_pairs_a_second", &csv)
}

fn measure<A: Peer + Sync>(heap: &'static A, threads: usize) -> f64 {
    static EXCHANGE: Exchange = Exchange::new();
    let barrier = Barrier::new(threads);
    let work = |number| {
        CORE.set(number);
        barrier.wait();
        let start = Instant::now();
        EXCHANGE.run(heap, number, || start.elapsed() < TIME)
    };
    let pairs = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum::<usize>()
    });
    EXCHANGE.clear(heap);
    pairs as f64
}

thread_local! {
    /// The number of this thread, which stands for a core.
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// Which core this is.
struct Here;

impl CoreNumber for Here {
    #[inline(always)]
    fn core_number() -> usize {
        CORE.get()
    }
}
