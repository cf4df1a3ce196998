//! AArch64: QEMU's virt, which starts the kernel in exception level 1, and is the firmware as well.

mod boot;
pub mod interrupts;
pub mod paging;

pub use aarch64_cpu::asm::wfi as wait_for_interrupt;
use aarch64_cpu::registers::{Readable, TPIDR_EL1};
pub use boot::start;

/// QEMU's `-m 128M`. A kernel for more than one machine reads it from the device tree.
pub const RAM_END: usize = 0x4000_0000 + (128 << 20);
/// In the half of the address space that `TTBR0_EL1` is for.
pub const WINDOW_START: usize = 0x40_0000_0000;

/// The number of this core.
#[inline(always)]
pub fn core() -> usize {
    // The boot code wrote it there.
    TPIDR_EL1.get() as usize
}

/// Ends QEMU, with this exit status.
pub fn exit(status: u8) -> ! {
    semihosting::process::exit(status.into())
}

/// Sends a byte to the serial port, a PL011.
pub fn send_byte(byte: u8) {
    const UART: *mut u32 = 0x900_0000 as *mut u32;
    // The register that says whether the port has no room for a byte, and the bit that does.
    const FLAGS: usize = 0x18 / 4;
    const IS_FULL: u32 = 1 << 5;
    // SAFETY: the device's registers, which are mapped.
    unsafe {
        while UART.add(FLAGS).read_volatile() & IS_FULL != 0 {}
        UART.write_volatile(byte.into());
    }
}
