//! 64-bit RISC-V: QEMU's virt, where cores are called harts, with OpenSBI as the firmware.

mod boot;
pub mod interrupts;
pub mod paging;

use core::arch::asm;

pub use boot::start;
pub use riscv::asm::wfi as wait_for_interrupt;

/// QEMU's `-m 128M`. A kernel for more than one machine reads it from the device tree, which lies in RAM as well, and keeps off there.
pub const RAM_END: usize = 0x8000_0000 + (128 << 20);
/// In the upper half of the address space.
pub const WINDOW_START: usize = 0xffff_ffd0_0000_0000;

/// The number of this hart.
#[inline(always)]
pub fn core() -> usize {
    let number;
    // SAFETY: reads a register, which the boot code wrote.
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
        wait_for_interrupt();
    }
}

/// Sends a byte to the serial port.
pub fn send_byte(byte: u8) {
    const UART: *mut u8 = 0x1000_0000 as *mut u8;
    // The register that says whether the port is ready for a byte, and the bit that does.
    const LINE_STATUS: usize = 5;
    const IS_READY: u8 = 1 << 5;
    // SAFETY: the device's registers, which are mapped.
    unsafe {
        while UART.add(LINE_STATUS).read_volatile() & IS_READY == 0 {}
        UART.write_volatile(byte);
    }
}
