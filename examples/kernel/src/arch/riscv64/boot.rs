//! From the firmware into Rust: the first hart, and then the others.

use core::arch::naked_asm;

use crate::cores::{STACK_SIZE, STACKS, enter};

/// OpenSBI comes here on one hart, any, with its number in `a0`; paging and interrupts are off.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        // QEMU clears .bss, other loaders may not.
        "la t0, __bss_start",
        "la t1, __bss_end",
        "1: bgeu t0, t1, 2f",
        "sd zero, (t0)",
        "addi t0, t0, 8",
        "j 1b",
        "2: li a1, 1",
        "j {start_hart}",
        start_hart = sym start_hart,
    )
}

/// Gives a hart its stack. `a0` is its number, and `a1` whether it is the first.
#[unsafe(naked)]
unsafe extern "C" fn start_hart() -> ! {
    naked_asm!(
        "la sp, {stacks}",
        "addi t0, a0, 1",
        "slli t0, t0, {stack_shift}",
        "add sp, sp, t0",
        // Rust uses it for thread-locals, of which a kernel has none. Here it is the hart's number.
        "mv tp, a0",
        "mv a0, a1",
        "call {enter}",
        stacks = sym STACKS,
        stack_shift = const STACK_SIZE.ilog2(),
        enter = sym enter,
    )
}

/// Starts another hart.
pub fn start(hart: usize) {
    let started = sbi_rt::hart_start(hart, start_hart as *const () as usize, 0);
    assert!(started.is_ok(), "hart {hart} does not start: {started:?}");
}
