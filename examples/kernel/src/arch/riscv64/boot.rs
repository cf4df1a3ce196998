//! From the firmware into Rust.

use core::arch::naked_asm;
use core::sync::atomic::AtomicU32;

use crate::cores::{STACK_SIZE, STACKS, enter};

/// 1 until the first hart comes. In `.data`, because it is needed before `.bss` is zero.
static IS_FIRST: AtomicU32 = AtomicU32::new(1);

/// OpenSBI comes here with a hart's number in `a0`; paging and interrupts are off. First with one, any, and then with those that `start` starts.
///
/// These might have an entry and an argument of their own. But OpenSBI 1.1 first says that a hart is to start, and then where, and a hart that
/// looks in between starts where the first did.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "la t0, {is_first}",
        "amoswap.w a1, zero, (t0)",
        "beqz a1, 2f",
        // QEMU clears .bss, other loaders may not.
        "la t0, __bss_start",
        "la t1, __bss_end",
        "1: bgeu t0, t1, 2f",
        "sd zero, (t0)",
        "addi t0, t0, 8",
        "j 1b",
        // The hart's own stack.
        "2: la sp, {stacks}",
        "addi t0, a0, 1",
        "slli t0, t0, {stack_shift}",
        "add sp, sp, t0",
        // Rust uses it for thread-locals, of which a kernel has none. Here it is the hart's number.
        "mv tp, a0",
        "mv a0, a1",
        "call {enter}",
        is_first = sym IS_FIRST,
        stacks = sym STACKS,
        stack_shift = const STACK_SIZE.ilog2(),
        enter = sym enter,
    )
}

/// Starts another hart.
pub fn start(hart: usize) {
    let started = sbi_rt::hart_start(hart, _start as *const () as usize, 0);
    assert!(started.is_ok(), "hart {hart} does not start: {started:?}");
}
