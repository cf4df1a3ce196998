//! The implementation of `critical-section` for these programs: it counts how often interrupts are masked, and for how many instructions.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[cfg(target_arch = "arm")]
use cortex_m::{interrupt, register::primask};
use critical_section::{Impl, RawRestoreState, set_impl};
#[cfg(target_arch = "riscv32")]
use riscv::{interrupt, register::mstatus};

use crate::counter;

// Written while interrupts are masked only, so loads and stores will do.
static START: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static LONGEST: AtomicU32 = AtomicU32::new(0);

/// How often interrupts were masked that were not masked yet.
pub fn count() -> u32 {
    COUNT.load(Relaxed)
}

/// For how many instructions at most, since the last time that this was asked. Only while the counter runs: it is the timer on some boards.
pub fn take_longest() -> u32 {
    let longest = LONGEST.load(Relaxed);
    LONGEST.store(0, Relaxed);
    longest
}

struct Counting;

set_impl!(Counting);

// SAFETY: interrupts are masked from `acquire` to the `release` that belongs to it, on the only core.
unsafe impl Impl for Counting {
    unsafe fn acquire() -> RawRestoreState {
        let was_open = is_open();
        interrupt::disable();
        if was_open {
            START.store(counter::now(), Relaxed);
        }
        was_open
    }

    unsafe fn release(was_open: RawRestoreState) {
        if was_open {
            let instructions = counter::instructions(counter::now().wrapping_sub(START.load(Relaxed)));
            COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
            LONGEST.store(LONGEST.load(Relaxed).max(instructions), Relaxed);
            // SAFETY: it was so before.
            unsafe { interrupt::enable() };
        }
    }
}

/// Whether interrupts come in.
fn is_open() -> bool {
    #[cfg(target_arch = "arm")]
    return primask::read().is_active();
    #[cfg(target_arch = "riscv32")]
    return mstatus::read().mie();
}
