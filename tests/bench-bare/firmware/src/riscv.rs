//! A 32-bit RISC-V, on QEMU's virt board, which carries out an instruction in 128 ns (`-icount shift=7`).

use riscv::register::minstret;

pub use riscv_rt::entry;

/// Lets interrupts in, of which there are none, so that to mask them is the same as elsewhere.
pub fn start() {
    // SAFETY: no interrupt is enabled.
    unsafe { riscv::interrupt::enable() };
}

/// Ticks.
#[inline(always)]
pub fn now() -> u32 {
    minstret::read() as u32
}

/// How many instructions so many ticks are: QEMU counts their nanoseconds.
pub fn instructions(ticks: u32) -> u32 {
    ticks >> 7
}
