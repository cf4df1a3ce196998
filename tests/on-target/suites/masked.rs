//! For how long interrupts are masked: not at all where there is compare-and-swap, and else for a load, an operation and a store. For how long a heap
//! masks them that always does.
#![no_std]
#![no_main]

use coreheap_bare::{AddedRegions, Coreheap, CoresHeap, MaskedHeap, Pinned};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::geometries::Small;
use coreheap_tests::recorded::Recorded;
use coreheap_tests::rng::Rng;
use coreheap_tests::subject::Subject;
use on_target::watched::Watched;
use on_target::{Unpinned, board, counter, done, masking, memory, nops};
use semihosting::println;

static SMALL: Coreheap<{ 32 * 1024 }> = Coreheap::new();
static MASKED: MaskedHeap<{ 32 * 1024 }> = MaskedHeap::new();
static CORES: CoresHeap<AddedRegions<1>, Unpinned, 2, Small> = CoresHeap::new(AddedRegions::new(), Pinned::new());

#[board::entry]
fn main() -> ! {
    counter::start();
    nops::check(counter::now, counter::instructions);
    critical_section::with(|_| {});
    let empty = masking::take_longest();
    let limits = Limits { size: 2000, align: 256, live: 200 };
    let atomic = |most| if cfg!(target_has_atomic = "ptr") { None } else { Some(most) };
    measure("SmallHeap", &Recorded::new(SMALL.heap()), &limits, empty, atomic(8));
    // SAFETY: nobody else uses the memory.
    assert!(unsafe { CORES.source().add(memory(), 64 * 1024) });
    measure("CoresHeap", &CORES, &Limits { size: 4000, ..limits }, empty, atomic(20));
    measure("MaskedHeap", &Recorded::new(MASKED.heap()), &limits, empty, Some(3_000));
    done()
}

/// `empty` is how long an empty stretch is, `most` by how many instructions others may be longer; `None`: there are no others.
fn measure(name: &str, heap: &impl Subject, limits: &Limits, empty: u32, most: Option<u32>) {
    let watched = Watched::new(heap);
    let mut driver = Driver::new(&watched, &|_, _| true);
    driver.run(&mut Rng::new(1), limits, 20_000);
    let counts = driver.finish();
    let (calls, masked) = (watched.calls(), watched.masked());
    println!("{name}: {calls} calls masked interrupts {} times, one {} times at most", masked.times, masked.most);
    assert!(calls > 10_000 && counts.refused > 0 && counts.moved > 0);
    let Some(most) = most else { return assert_eq!(masked.times, 0) };
    assert!(masked.times > calls && masked.longest > empty, "not measured");
    println!("{name}: for {} instructions more than an empty critical section, at most", masked.longest - empty);
    assert!(masked.longest - empty <= most, "masked for too long");
}
