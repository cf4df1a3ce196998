//! A Cortex-M and its timer.

use core::cell::Cell;

use cortex_m::peripheral::{SCB, SYST, syst::SystClkSource};
use cortex_m_rt::{ExceptionFrame, exception};
use critical_section::Mutex;

pub use cortex_m_rt::entry;

/// Ticks that leave time for other work as well.
pub const PERIOD: u32 = 5_000;

static HANDLER: Mutex<Cell<fn() -> u32>> = Mutex::new(Cell::new(|| PERIOD));

/// Calls `handler` from an interrupt again and again, each time after as many ticks as it said the last time.
pub fn start_timer(handler: fn() -> u32) {
    critical_section::with(|token| HANDLER.borrow(token).set(handler));
    let mut timer = timer();
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(PERIOD);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

/// No more calls.
pub fn stop_timer() {
    timer().disable_interrupt();
}

fn timer() -> SYST {
    // SAFETY: nothing else in this program uses the timer.
    unsafe { cortex_m::Peripherals::steal() }.SYST
}

#[exception]
fn SysTick() {
    let ticks = critical_section::with(|token| HANDLER.borrow(token).get())();
    let mut timer = timer();
    timer.set_reload(ticks);
    timer.clear_current();
    // It may have come due again meanwhile.
    SCB::clear_pendst();
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}
