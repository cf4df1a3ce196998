//! x86-64: QEMU's q35, with a processor that has blocks of 1 GiB and an instruction that reads the base of GS.

mod apic;
mod boot;
pub mod interrupts;
pub mod paging;
mod tlb;

use x86_64::instructions::port::Port;
use x86_64::registers::segmentation::{GS, Segment64};

pub use boot::start;
pub use x86_64::instructions::hlt as wait_for_interrupt;

/// QEMU's `-m 128M`. A kernel for more than one machine reads it from the memory map that the boot protocol hands over.
pub const RAM_END: usize = 128 << 20;
/// In the upper half of the address space.
pub const WINDOW_START: usize = 0xffff_9000_0000_0000;

/// The number of this core, which the boot code has put there.
#[inline(always)]
pub fn core() -> usize {
    GS::read_base().as_u64() as usize
}

/// Ends QEMU, with this exit status if it is odd, and with 33 for success: the device makes 2n + 1 of what it is told.
pub fn exit(status: u8) -> ! {
    const SUCCESS: u8 = 33;
    let status = if status == 0 { SUCCESS } else { status };
    // SAFETY: the port of QEMU's device, which nobody else uses.
    unsafe { Port::new(0xf4).write(u32::from(status) / 2) };
    loop {
        wait_for_interrupt();
    }
}

/// Sends a byte to the serial port.
pub fn send_byte(byte: u8) {
    const UART: u16 = 0x3f8;
    // The register that says whether the port is ready for a byte, and the bit that does.
    const LINE_STATUS: u16 = 5;
    const IS_READY: u8 = 1 << 5;
    let mut status = Port::<u8>::new(UART + LINE_STATUS);
    // SAFETY: the device's ports. More than one who sends is no danger; lines may mix.
    unsafe {
        while status.read() & IS_READY == 0 {}
        Port::new(UART).write(byte);
    }
}
