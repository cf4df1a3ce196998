//! Random actions against the shadow model on the machine: every geometry over hostile sources, and the heaps for some KiB.
#![no_std]
#![no_main]

use coreheap_bare::coreheap::{
    Compact, CoreLocal, DenseHeap, Geometry, HeaderlessHeap, NestedContexts, Server, SingleCore, SmallHeap, Tiny, TryFlag,
};
use coreheap_tests::actions::{Counts, Driver, Limits};
use coreheap_tests::cores::Wandering;
use coreheap_tests::fuzz::{COMBINATIONS, Setup, single_core, with_source};
use coreheap_tests::recorded::Recorded;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::TestSource;
use coreheap_tests::subject::Subject;
use on_target::{board, done, part};

const STEPS: usize = 500;

#[board::entry]
fn main() -> ! {
    part("Tiny", both::<Tiny>);
    part("Compact", both::<Compact>);
    part("Server", both::<Server>);
    part("SmallHeap", small_heap);
    part("HeaderlessHeap", headerless_heap);
    part("DenseHeap", dense_heap::<0>);
    part("DenseHeap with ready blocks", dense_heap::<48>);
    done()
}

fn both<G: Geometry>() {
    all_sources::<SingleCore, G>(single_core);
    all_sources::<TryFlag<Wandering, 4>, G>(TryFlag::new);
}

/// Sources of all combinations of abilities, some of whose calls are refused.
fn all_sources<C: CoreLocal, G: Geometry>(cores: impl Fn() -> C) {
    let (mut allocated, mut freed, mut refused, mut moved) = (0, 0, 0, 0);
    for combination in 0..COMBINATIONS {
        let mut rng = Rng::new(combination as u64);
        let setup = Setup { size: combination, refused: Call::ALL[combination % Call::ALL.len()], every: combination % 4 };
        let counts = with_source::<C, G>(combination, &cores, &setup, &mut rng, STEPS);
        allocated += counts.allocated;
        freed += counts.freed;
        refused += counts.refused;
        moved += counts.moved;
    }
    assert!(allocated == freed && allocated > STEPS && refused > 0 && moved > 0, "{allocated} {freed} {refused} {moved}");
}

fn small_heap() {
    odd_regions(|seed, source| {
        let heap = SmallHeap::new(source);
        act(seed, &Recorded::new(&heap), heap.source())
    });
}

fn headerless_heap() {
    odd_regions(|seed, source| {
        // SAFETY: interrupts do not use it.
        let heap = HeaderlessHeap::new(source, unsafe { NestedContexts::new() });
        act(seed, &Recorded::new(&heap), heap.source())
    });
}

fn dense_heap<const READY: usize>() {
    odd_regions(|seed, source| {
        // SAFETY: interrupts do not use it.
        let heap = DenseHeap::<_, _, READY>::new(source, unsafe { NestedContexts::new() });
        act(seed, &heap, heap.source())
    });
}

/// Dirty memory of odd starts and lengths.
fn odd_regions(act: impl Fn(u64, TestSource<0>) -> Counts) {
    for (seed, sizes) in (1..).zip([[37, 4099, 777], [16 * 1024 + 1, 1, 300], [900, 901, 902]]) {
        let Counts { allocated, refused, moved, resized_in_place, .. } = act(seed, TestSource::new(&sizes));
        assert!(allocated > STEPS / 2 && refused > 0 && moved > 0 && resized_in_place > 0, "{sizes:?}");
    }
}

fn act(seed: u64, heap: &impl Subject, source: &TestSource<0>) -> Counts {
    let inside = |start, size| source.contains(start, size);
    let mut driver = Driver::new(heap, &inside);
    driver.run(&mut Rng::new(seed), &Limits { size: 2000, align: 4096, live: 300 }, 4 * STEPS);
    driver.finish()
}
