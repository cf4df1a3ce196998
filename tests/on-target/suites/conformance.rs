//! The conformance suite on the machine, over the sources for plain memory.
#![no_std]
#![no_main]

use core::ptr::NonNull;

use coreheap_bare::AddedRegions;
use coreheap_bare::coreheap::sources::{FixedRegion, Regions};
use coreheap_bare::coreheap::{Compact, Region, Server, Tiny, TryFlag};
use coreheap_tests::conformance::{conformance, conformance_with};
use coreheap_tests::cores::Wandering;
use on_target::{SIZE, board, done, memory, part};

/// A heap that wanders over four cores.
type FourCores = TryFlag<Wandering, 4>;

#[board::entry]
fn main() -> ! {
    let start = memory();
    let region = |offset: usize, size: usize| {
        assert!(offset + size <= SIZE);
        // SAFETY: inside the memory.
        Region { start: unsafe { NonNull::new_unchecked(start.add(offset)) }, size }
    };
    let added = || {
        let source = AddedRegions::<2>::new();
        for Region { start, size } in [region(5, SIZE / 4), region(SIZE / 4 + 9, SIZE / 4 * 3 - 9)] {
            // SAFETY: the regions are apart, and each heap is dropped before the next one is made.
            assert!(unsafe { source.add(start.as_ptr(), size) });
        }
        source
    };
    // SAFETY: as above.
    part("a fixed region", || conformance(|| unsafe { FixedRegion::over(start.add(3), SIZE - 3) }));
    part("several regions", || {
        let regions = [region(3, 100), region(1001, SIZE / 2), region(SIZE / 2 + 1008, 9), region(SIZE / 2 + 1017, SIZE / 3)];
        // SAFETY: as above.
        conformance(|| unsafe { Regions::new(regions) });
    });
    part("added regions", || conformance(added));
    part("four cores", || {
        conformance_with::<_, FourCores, Tiny>(added, TryFlag::new);
        conformance_with::<_, FourCores, Compact>(added, TryFlag::new);
        conformance_with::<_, FourCores, Server>(added, TryFlag::new);
    });
    done()
}
