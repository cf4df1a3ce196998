//! Random and recorded actions against the shadow model, for every geometry, with one core and with several, over sources of
//! all combinations of abilities, some of whose calls are refused.

use coreheap::{Compact, CoreLocal, Geometry, Heap, SingleCore, Tiny, TryFlag};
use coreheap_tests::actions::{Action, Counts, Driver, Limits, record};
use coreheap_tests::cores::{ThreadNumber, Wandering};
use coreheap_tests::fuzz::{COMBINATIONS, Setup, single_core, with_source};
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::seed::each_seed;
use coreheap_tests::sources::TestSource;

const STEPS: usize = if cfg!(miri) { 20 } else { 3000 };
/// Under Miri each test takes one combination of abilities in four, from `first` on.
const EVERY: usize = if cfg!(miri) { 4 } else { 1 };

/// Many seeds for each combination of abilities; at the end enough must have happened to be worth it.
fn all_sources<C: CoreLocal, G: Geometry>(name: &str, first: usize, cores: impl Fn() -> C) {
    let mut sum = Counts::default();
    each_seed(name, 24, |seed, mut rng| {
        for combination in (if cfg!(miri) { first } else { 0 }..COMBINATIONS).step_by(EVERY) {
            let setup = Setup {
                size: rng.below(4),
                refused: Call::ALL[rng.below(Call::ALL.len())],
                every: if (seed as usize + combination).is_multiple_of(2) { 0 } else { 1 + rng.below(6) },
            };
            let counts = with_source::<C, G>(combination, &cores, &setup, &mut rng, STEPS);
            sum.allocated += counts.allocated;
            sum.freed += counts.freed;
            sum.refused += counts.refused;
            sum.moved += counts.moved;
            sum.resized_in_place += counts.resized_in_place;
            sum.purged += counts.purged;
        }
    });
    assert_eq!(sum.allocated, sum.freed);
    assert!(sum.allocated > 4 * STEPS / EVERY.pow(2), "{sum:?}");
    if cfg!(miri) {
        return;
    }
    assert!(sum.refused > 0 && sum.moved > 0 && sum.resized_in_place > 0, "{sum:?}");
    assert!(sum.purged > 0, "{sum:?}");
}

#[test]
fn server_single_core() {
    all_sources::<SingleCore, Hosted>("server_single_core", 0, single_core);
}

#[test]
fn server_four_cores() {
    all_sources::<TryFlag<Wandering, 4>, Hosted>("server_four_cores", 1, TryFlag::new);
}

#[test]
fn compact_single_core() {
    all_sources::<SingleCore, Compact>("compact_single_core", 2, single_core);
}

#[test]
fn compact_four_cores() {
    all_sources::<TryFlag<Wandering, 4>, Compact>("compact_four_cores", 3, TryFlag::new);
}

#[test]
fn tiny_single_core() {
    all_sources::<SingleCore, Tiny>("tiny_single_core", 0, single_core);
}

#[test]
fn tiny_four_cores() {
    all_sources::<TryFlag<Wandering, 4>, Tiny>("tiny_four_cores", 2, TryFlag::new);
}

#[test]
fn threads_that_each_drive_their_own_blocks() {
    const THREADS: u64 = if cfg!(miri) { 2 } else { 8 };
    each_seed("threads_that_each_drive_their_own_blocks", 16, |seed, _| {
        let source = TestSource::<0>::new(if cfg!(miri) { &[24 << 10, 16 << 10, 8 << 10] } else { &[1 << 20, 1 << 19, 1 << 18] });
        let heap = Heap::<_, TryFlag<ThreadNumber, 4>, Hosted>::new(source, TryFlag::new());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let heap = &heap;
                scope.spawn(move || {
                    let inside = |start, size| heap.source().contains(start, size);
                    let mut driver = Driver::new_shared(heap, &inside);
                    let limits = Limits { size: if cfg!(miri) { 3000 } else { 100_000 }, align: 65536, live: 200 };
                    driver.run(&mut Rng::new(seed << 8 | thread), &limits, STEPS);
                    driver.finish();
                });
            }
        });
        heap.assert_valid();
        assert_eq!(heap.stats().used, 0);
    });
}

#[test]
fn a_trace_says_what_was_done() {
    const ACTIONS: usize = if cfg!(miri) { 40 } else { 500 };
    let limits = Limits { size: 1 << 16, align: 1 << 16, live: 100 };
    let actions = record(&mut Rng::new(1), &limits, ACTIONS);
    assert_eq!(actions.len(), ACTIONS);
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let parsed: Vec<Action> = text.lines().filter_map(Action::parse).collect();
    assert_eq!(parsed, actions);
    assert_eq!(Action::parse("  # nothing but a comment"), None);
}

/// Replays `trace` on a heap of each geometry.
fn replay(trace: &str) {
    replay_on::<Tiny>(trace);
    replay_on::<Compact>(trace);
    replay_on::<Hosted>(trace);
}

fn replay_on<G: Geometry>(trace: &str) {
    let heap = Heap::<_, SingleCore, G>::new(TestSource::<0>::new(&[2 << 20]), single_core());
    let inside = |start, size| heap.source().contains(start, size);
    let mut driver = Driver::new(&heap, &inside);
    driver.replay(trace);
    assert!(driver.finish().allocated > 0);
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn trace_strings() {
    replay(include_str!("../traces/strings.txt"));
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn trace_zero_sized() {
    replay(include_str!("../traces/zero_sized.txt"));
}
