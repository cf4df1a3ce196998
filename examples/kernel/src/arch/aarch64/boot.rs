//! From the firmware into Rust: the first core, and then the others.

use core::arch::naked_asm;

use smccc::{Hvc, psci};

use crate::cores::{STACK_SIZE, STACKS, enter};

/// QEMU comes here on core 0; the MMU and interrupts are off.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        // QEMU clears .bss, other loaders may not.
        "adrp x0, __bss_start",
        "add x0, x0, :lo12:__bss_start",
        "adrp x1, __bss_end",
        "add x1, x1, :lo12:__bss_end",
        "1: cmp x0, x1",
        "b.hs 2f",
        "str xzr, [x0], #8",
        "b 1b",
        "2: mov x0, #1",
        "b {start_core}",
        start_core = sym start_core,
    )
}

/// Gives a core its stack. `x0` is whether it is the first, as [`enter`] has it.
#[unsafe(naked)]
unsafe extern "C" fn start_core() -> ! {
    naked_asm!(
        "mrs x1, mpidr_el1",
        "and x1, x1, #0xff",
        // Where `core()` finds it: a register that is the kernel's own.
        "msr tpidr_el1, x1",
        "adrp x2, {stacks}",
        "add x2, x2, :lo12:{stacks}",
        "add x1, x1, #1",
        "add x2, x2, x1, lsl #{stack_shift}",
        "mov sp, x2",
        "bl {enter}",
        stacks = sym STACKS,
        stack_shift = const STACK_SIZE.ilog2(),
        enter = sym enter,
    )
}

/// Starts another core.
pub fn start(core: usize) {
    // The last argument is what the core finds in `x0`: it is not the first.
    let started = psci::cpu_on::<Hvc>(core as u64, start_core as *const () as u64, 0);
    assert!(started.is_ok(), "core {core} does not start: {started:?}");
}
