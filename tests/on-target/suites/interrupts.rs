//! An interrupt that allocates, checks contents and frees all the while, in the middle of whatever the main program does with the same heap.
#![no_std]
#![no_main]

use core::alloc::GlobalAlloc;
use core::cell::RefCell;

use coreheap_bare::{AddedRegions, Coreheap, CoresHeap, MaskedHeap, Pinned};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::geometries::Small;
use coreheap_tests::recorded::Recorded;
use coreheap_tests::rng::Rng;
use coreheap_tests::subject::Subject;
use critical_section::Mutex;
use on_target::guest::Guest;
use on_target::watched::Watched;
use on_target::{Unpinned, board, done, memory};
use semihosting::println;

const INTERRUPTS: u32 = 40_000;
/// Interrupts between two looks at the heap's books.
const ROUND: u32 = 400;

static SMALL: Coreheap<{ 8 * 1024 }> = Coreheap::new();
static MASKED: MaskedHeap<{ 8 * 1024 }> = MaskedHeap::new();
static CORES: CoresHeap<AddedRegions<1>, Unpinned, 2, Small> = CoresHeap::new(AddedRegions::new(), Pinned::new());

static GUEST: Mutex<RefCell<Option<Guest>>> = Mutex::new(RefCell::new(None));

#[board::entry]
fn main() -> ! {
    let limits = Limits { size: 1000, align: 256, live: 60 };
    let inside = storm("SmallHeap", &Recorded::new(SMALL.heap()), &SMALL, &limits, || SMALL.heap().assert_valid());
    assert!(inside > INTERRUPTS / 20, "too few to show anything");
    assert_eq!((SMALL.heap().stats().used, SMALL.heap().stats().misuses), (0, 0));
    // Here they wait until the call is nearly over.
    storm("MaskedHeap", &Recorded::new(MASKED.heap()), &MASKED, &limits, || MASKED.heap().assert_valid());
    assert_eq!((MASKED.heap().stats().used, MASKED.heap().stats().misuses), (0, 0));
    // SAFETY: nobody else uses the memory.
    assert!(unsafe { CORES.source().add(memory(), 40 * 1024) });
    let limits = Limits { size: 4000, align: 256, live: 100 };
    let inside = storm("CoresHeap", &CORES, &CORES, &limits, || CORES.assert_valid());
    assert!(inside > INTERRUPTS / 20, "too few to show anything");
    assert_eq!((CORES.stats().used, CORES.stats().misuses), (0, 0));
    done()
}

/// Drives a heap that interrupts use as well. Between the rounds, while both have blocks, and at the end the heap must be valid. Returns how
/// many interrupts came inside of a call.
fn storm(name: &str, heap: &impl Subject, shared: &'static (dyn GlobalAlloc + Sync), limits: &Limits, assert_valid: fn()) -> u32 {
    let watched = Watched::new(heap);
    let mut driver = Driver::new_shared(&watched, &|_, _| true);
    let mut rng = Rng::new(2);
    critical_section::with(|token| GUEST.replace(token, Some(Guest::new(shared))));
    for round in 1..=INTERRUPTS / ROUND {
        board::start_timer(interrupt);
        while guest(|guest| guest.visits) < round * ROUND {
            driver.run(&mut rng, limits, 2);
        }
        board::stop_timer();
        assert_valid();
    }
    guest(Guest::leave);
    let counts = driver.finish();
    assert_valid();
    guest(|guest| {
        println!("{name}: {} calls, {} interrupts, {} of them inside of a call", watched.calls(), guest.visits, guest.inside);
        println!("{name}: {} and {} requests were refused", counts.refused, guest.refused);
        assert!(counts.refused > 0 && guest.refused > 0 && counts.moved > 0 && guest.served > INTERRUPTS / 4);
        guest.inside
    })
}

fn interrupt() -> u32 {
    guest(Guest::visit)
}

fn guest<R>(work: impl FnOnce(&mut Guest) -> R) -> R {
    critical_section::with(|token| work(GUEST.borrow_ref_mut(token).as_mut().expect("there before the first interrupt")))
}
