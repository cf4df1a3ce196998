//! A check of the counter.

use core::arch::asm;

/// That instructions are counted one by one. More `nop`s would lie between a Cortex-M0 and its constants.
pub fn check(now: impl Fn() -> u32, instructions: fn(u32) -> u32) {
    assert_eq!(instructions(ticks_of::<200>(&now)) - instructions(ticks_of::<0>(&now)), 200, "nops");
}

/// The same instructions for every `COUNT`, but for the `nop`s.
#[inline(never)]
fn ticks_of<const COUNT: usize>(now: &impl Fn() -> u32) -> u32 {
    let start = now();
    // SAFETY: nothing happens.
    unsafe { asm!(".rept {count}", "nop", ".endr", count = const COUNT, options(nomem, nostack, preserves_flags)) };
    now().wrapping_sub(start)
}
