//! For how long interrupts are masked: not at all where there is compare-and-swap, and else for a load, an operation and a store.
#![no_std]
#![no_main]

use coreheap_bare::{AddedRegions, Coreheap, CoresHeap, Pinned};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::geometries::Small;
use coreheap_tests::recorded::Recorded;
use coreheap_tests::rng::Rng;
use coreheap_tests::subject::Subject;
use on_target::watched::Watched;
use on_target::{Unpinned, board, counter, done, masking, memory, nops};
use semihosting::println;

static SMALL: Coreheap<{ 32 * 1024 }> = Coreheap::new();
static CORES: CoresHeap<AddedRegions<1>, Unpinned, 2, Small> = CoresHeap::new(AddedRegions::new(), Pinned::new());

#[board::entry]
fn main() -> ! {
    counter::start();
    nops::check(counter::now, counter::instructions);
    critical_section::with(|_| {});
    let empty = masking::take_longest();
    let limits = Limits { size: 2000, align: 256, live: 200 };
    measure("SmallHeap", &Recorded::new(SMALL.heap()), &limits, empty, 8);
    // SAFETY: nobody else uses the memory.
    assert!(unsafe { CORES.source().add(memory(), 64 * 1024) });
    measure("CoresHeap", &CORES, &Limits { size: 4000, ..limits }, empty, 20);
    done()
}

/// `empty` is how long an empty stretch is, `most` by how many instructions others may be longer.
fn measure(name: &str, heap: &impl Subject, limits: &Limits, empty: u32, most: u32) {
    let watched = Watched::new(heap);
    let before = masking::count();
    let mut driver = Driver::new(&watched, &|_, _| true);
    driver.run(&mut Rng::new(1), limits, 20_000);
    let counts = driver.finish();
    let (stretches, longest) = (masking::count() - before, masking::take_longest());
    let calls = watched.calls();
    println!("{name}: {calls} calls masked interrupts {stretches} times, one {} times at most", watched.most_masked());
    assert!(calls > 10_000 && counts.refused > 0 && counts.moved > 0);
    if cfg!(target_has_atomic = "ptr") {
        assert_eq!(stretches, 0);
    } else {
        assert!(stretches > calls && longest > empty, "not measured");
        println!("{name}: for {} instructions more than an empty critical section, at most", longest - empty);
        assert!(longest - empty <= most, "masked for too long");
    }
}
