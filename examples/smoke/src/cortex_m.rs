//! A Cortex-M0, on QEMU's microbit.

use core::cell::Cell;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::{ExceptionFrame, exception};
use critical_section::Mutex;

pub use cortex_m_rt::entry;

static HANDLER: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));

/// Calls `handler` from an interrupt again and again, as often as there is time for other work as well.
pub fn start_timer(handler: fn()) {
    critical_section::with(|token| HANDLER.borrow(token).set(handler));
    let mut timer = timer();
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(4_999);
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
    critical_section::with(|token| HANDLER.borrow(token).get())();
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}
