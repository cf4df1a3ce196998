//! From the firmware into Rust: the first hart, and then the others.

use core::arch::{asm, naked_asm};

use crate::{interrupts, paging};

/// How many harts there are. They have the numbers from 0 on.
pub const HARTS: usize = 4;

const STACK_SIZE: usize = 64 * 1024;

#[repr(C, align(16))]
struct Stacks([[u8; STACK_SIZE]; HARTS]);

static mut STACKS: Stacks = Stacks([[0; STACK_SIZE]; HARTS]);

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
        "call {enter}",
        stacks = sym STACKS,
        stack_shift = const STACK_SIZE.ilog2(),
        enter = sym enter,
    )
}

extern "C" fn enter(_hart: usize, is_first: usize) -> ! {
    if is_first != 0 {
        paging::init();
    }
    paging::turn_on();
    interrupts::init();
    if is_first != 0 { crate::main() } else { crate::hart_main() }
}

/// Starts all other harts.
pub fn start_others() {
    for other in (0..HARTS).filter(|other| *other != hart()) {
        let started = sbi_rt::hart_start(other, start_hart as *const () as usize, 0);
        assert!(started.is_ok(), "hart {other} does not start: {started:?}");
    }
}

/// The number of the hart that this runs on.
#[inline(always)]
pub fn hart() -> usize {
    let number;
    // SAFETY: reads a register, which `start_hart` wrote.
    unsafe { asm!("mv {}, tp", out(reg) number, options(nomem, nostack, preserves_flags)) };
    number
}

/// Ends QEMU, with this exit status.
pub fn exit(status: u8) -> ! {
    const TEST_DEVICE: *mut u32 = 0x10_0000 as *mut u32;
    let value = if status == 0 { 0x5555 } else { u32::from(status) << 16 | 0x3333 };
    // SAFETY: the device's register, which is mapped.
    unsafe { TEST_DEVICE.write_volatile(value) };
    loop {
        riscv::asm::wfi();
    }
}
