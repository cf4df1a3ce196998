//! The implementation of `critical-section` for these programs: it counts how often interrupts are masked, and for how many instructions.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[cfg(target_arch = "arm")]
use cortex_m::{interrupt, register::primask};
use critical_section::{Impl, RawRestoreState, set_impl};
#[cfg(target_arch = "riscv32")]
use riscv::{interrupt, register::mstatus};

use crate::counter;

// No program looks at these while interrupts come in.
static START: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static LONGEST: AtomicU32 = AtomicU32::new(0);

/// How often interrupts were masked that were not masked yet.
pub fn count() -> u32 {
    COUNT.load(Relaxed)
}

/// For how many instructions at most, since the last time that this was asked. The counter must run.
pub fn take_longest() -> u32 {
    let longest = LONGEST.load(Relaxed);
    LONGEST.store(0, Relaxed);
    longest
}

struct Counting;

set_impl!(Counting);

// The counter is read before interrupts are masked and after they are not: what the compiler moves in between is counted as well.
//
// SAFETY: interrupts are masked from `acquire` to the `release` that belongs to it, on the only core.
unsafe impl Impl for Counting {
    #[inline(always)]
    unsafe fn acquire() -> RawRestoreState {
        let was_open = is_open();
        if was_open {
            START.store(counter::now(), Relaxed);
            interrupt::disable();
        }
        was_open
    }

    #[inline(always)]
    unsafe fn release(was_open: RawRestoreState) {
        if was_open {
            // SAFETY: it was so before.
            unsafe { interrupt::enable() };
            record(counter::now());
        }
    }
}

/// Notes a stretch that ended now.
#[inline(never)]
fn record(now: u32) {
    let instructions = counter::instructions(now.wrapping_sub(START.load(Relaxed)));
    COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    LONGEST.store(LONGEST.load(Relaxed).max(instructions), Relaxed);
}

/// Whether interrupts come in.
fn is_open() -> bool {
    #[cfg(target_arch = "arm")]
    return primask::read().is_active();
    #[cfg(target_arch = "riscv32")]
    return mstatus::read().mie();
}
