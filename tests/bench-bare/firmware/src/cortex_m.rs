//! A Cortex-M4, on QEMU's mps2-an386, which carries out an instruction in 128 ns (`-icount shift=7`).

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

pub use cortex_m_rt::entry;

/// Counts at 25 MHz; down, from here.
const RELOAD: u32 = 0xff_ffff;

/// Starts the counter.
pub fn start() {
    // SAFETY: nothing else in this program uses the timer.
    let mut timer = unsafe { cortex_m::Peripherals::steal() }.SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(RELOAD);
    timer.clear_current();
    timer.enable_counter();
}

/// Ticks.
#[inline(always)]
pub fn now() -> u32 {
    RELOAD - SYST::get_current()
}

/// How many instructions so many ticks are: 3.2 for each, to the nearest.
pub fn instructions(ticks: u32) -> u32 {
    ((ticks & RELOAD) * 10 + 16) / 32
}
