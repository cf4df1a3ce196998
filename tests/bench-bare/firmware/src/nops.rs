//! A check of the counter.

use core::arch::asm;

/// That instructions are counted one by one.
pub fn check(now: impl Fn() -> u32, instructions: fn(u32) -> u32) {
    assert_eq!(instructions(ticks_of::<1000>(&now)) - instructions(ticks_of::<0>(&now)), 1000, "nops");
}

/// The same instructions for every `COUNT`, but for the `nop`s.
#[inline(never)]
fn ticks_of<const COUNT: usize>(now: &impl Fn() -> u32) -> u32 {
    let start = now();
    // SAFETY: nothing happens.
    unsafe { asm!(".rept {count}", "nop", ".endr", count = const COUNT, options(nomem, nostack, preserves_flags)) };
    now().wrapping_sub(start)
}
