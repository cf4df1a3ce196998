//! One entry for bytes from anywhere: a fuzzer, a corpus, a random number generator.
//!
//! The first bytes choose the heap (geometry, core heaps, abilities of the source, sizes of its regions, what it refuses), the
//! others are actions for the driver.

use coreheap::{Compact, CoreLocal, Geometry, Heap, SingleCore, Tiny, TryFlag};

use crate::actions::{Choices, Counts, Driver, Limits};
use crate::cores::Wandering;
use crate::geometries::Hosted;
use crate::refusals::Call;
use crate::sources::{
    COMMITS, DECOMMITS, DECOMMITTED_IS_ZERO, DISCARDS, FRESH_IS_ZERO, GROWS, OS_PAGES, RELEASES, REMAPS, TestSource,
};

/// The abilities that are tried in combination, with no others in between.
pub const COMBINATIONS: usize = 8;

/// Runs what `bytes` say; panics if the heap is wrong.
pub fn actions(mut bytes: &[u8]) -> Counts {
    let mut header = [0; 6];
    for byte in &mut header {
        *byte = bytes.byte().unwrap_or(0);
    }
    let [geometry, cores, abilities, size, refused, every] = header.map(usize::from);
    let setup = Setup { size, refused: Call::ALL[refused % Call::ALL.len()], every: every % 8 };
    match (geometry % 3, cores % 2) {
        (0, 0) => with_source::<SingleCore, Tiny>(abilities, single_core, &setup, &mut bytes, usize::MAX),
        (0, _) => with_source::<TryFlag<Wandering, 4>, Tiny>(abilities, TryFlag::new, &setup, &mut bytes, usize::MAX),
        (1, 0) => with_source::<SingleCore, Compact>(abilities, single_core, &setup, &mut bytes, usize::MAX),
        (1, _) => with_source::<TryFlag<Wandering, 4>, Compact>(abilities, TryFlag::new, &setup, &mut bytes, usize::MAX),
        (_, 0) => with_source::<SingleCore, Hosted>(abilities, single_core, &setup, &mut bytes, usize::MAX),
        (_, _) => with_source::<TryFlag<Wandering, 4>, Hosted>(abilities, TryFlag::new, &setup, &mut bytes, usize::MAX),
    }
}

/// A core heap for a heap that one context uses.
pub fn single_core() -> SingleCore {
    // SAFETY: every heap of these tests that is made with it is used by one thread.
    unsafe { SingleCore::new() }
}

/// How the heap's source is made.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Chooses among the sizes of regions.
    pub size: usize,
    /// Which call is refused …
    pub refused: Call,
    /// … every so many-th time; 0: never.
    pub every: usize,
}

/// Runs `steps` actions on a heap with one of the [`COMBINATIONS`] of abilities.
pub fn with_source<C: CoreLocal, G: Geometry>(
    combination: usize,
    cores: impl Fn() -> C,
    setup: &Setup,
    choices: &mut impl Choices,
    steps: usize,
) -> Counts {
    match combination % COMBINATIONS {
        0 => run::<0, C, G>(cores, setup, choices, steps),
        1 => run::<{ COMMITS | DECOMMITS }, C, G>(cores, setup, choices, steps),
        2 => run::<{ FRESH_IS_ZERO | COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO | DISCARDS | RELEASES | OS_PAGES }, C, G>(
            cores, setup, choices, steps,
        ),
        3 => run::<{ GROWS | FRESH_IS_ZERO }, C, G>(cores, setup, choices, steps),
        4 => run::<{ DECOMMITS | REMAPS | OS_PAGES }, C, G>(cores, setup, choices, steps),
        5 => run::<{ FRESH_IS_ZERO | DECOMMITS | DISCARDS }, C, G>(cores, setup, choices, steps),
        6 => run::<{ COMMITS | GROWS | RELEASES | REMAPS }, C, G>(cores, setup, choices, steps),
        _ => {
            const ALL: u32 = FRESH_IS_ZERO | COMMITS | DECOMMITS | DECOMMITTED_IS_ZERO | RELEASES | GROWS | REMAPS | OS_PAGES;
            run::<ALL, C, G>(cores, setup, choices, steps)
        }
    }
}

/// Runs actions on a fresh heap over a source of these abilities.
pub fn run<const ABILITIES: u32, C: CoreLocal, G: Geometry>(
    cores: impl Fn() -> C,
    setup: &Setup,
    choices: &mut impl Choices,
    steps: usize,
) -> Counts {
    // From a few slices to some dozens of pages, whatever the geometry; the first is too small for anything. Smaller blocks under
    // Miri, so that it does not spend its few steps on refusals.
    let unit = (4 * G::SLICE_SIZE).max(G::PAGE_SIZE) * 8;
    let size = if cfg!(miri) { unit / 4 } else { unit };
    let sizes = [
        [37, unit, unit / 3 + 5],
        [unit * 2 + 1, unit / 2, unit * 4 + 99],
        [unit * 7 + 4095, 1, 1],
        [unit / 2, unit / 2, unit / 2],
    ];
    let source = TestSource::<ABILITIES>::new(&sizes[setup.size % sizes.len()]).giving_at_first(unit / 3);
    source.refusals().refuse_every(setup.refused, setup.every);
    let heap = Heap::<_, C, G>::new(source, cores());
    let limits = Limits { size, align: 16 << 20, live: 1000 };
    let inside = |start, size| heap.source().contains(start, size);
    let mut driver = Driver::new(&heap, &inside);
    driver.run(choices, &limits, steps);
    driver.finish()
}
