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

/// Most instructions of a stretch, beyond those of an empty one.
const MOST: u32 = 20;

static SMALL: Coreheap<{ 32 * 1024 }> = Coreheap::new();
static CORES: CoresHeap<AddedRegions<1>, Unpinned, 2, Small> = CoresHeap::new(AddedRegions::new(), Pinned::new());

#[board::entry]
fn main() -> ! {
    counter::start();
    nops::check(counter::now, counter::instructions);
    critical_section::with(|_| {});
    let empty = masking::take_longest();
    let limits = Limits { size: 2000, align: 256, live: 200 };
    measure("SmallHeap", &Recorded::new(SMALL.heap()), &limits, empty);
    // SAFETY: nobody else uses the memory.
    assert!(unsafe { CORES.source().add(memory(), 64 * 1024) });
    measure("CoresHeap", &CORES, &Limits { size: 4000, ..limits }, empty);
    done()
}

fn measure(name: &str, heap: &impl Subject, limits: &Limits, empty: u32) {
    let watched = Watched::new(heap);
    let before = masking::count();
    let mut driver = Driver::new(&watched, &|_, _| true);
    driver.run(&mut Rng::new(1), limits, 20_000);
    let counts = driver.finish();
    let (stretches, longest) = (masking::count() - before, masking::take_longest());
    let (calls, most) = (watched.calls(), watched.most_masked());
    println!("{name}: {calls} calls, {} refused; interrupts masked {stretches} times, at most {most} a call", counts.refused);
    println!("{name}: longest {longest} instructions, of which an empty one has {empty}");
    assert!(calls > 10_000 && counts.refused > 0 && counts.moved > 0);
    if cfg!(target_has_atomic = "ptr") {
        assert_eq!(stretches, 0);
    } else {
        assert!(stretches > calls / 2 && longest > empty && longest - empty <= MOST, "masked for too long, or not measured");
    }
}
