//! The serial port, and what prints on it.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::boot;

const UART: *mut u8 = 0x1000_0000 as *mut u8;
/// The register that says whether the port is ready for a byte, and the bit that does.
const LINE_STATUS: usize = 5;
const IS_READY: u8 = 1 << 5;

/// The serial port. More than one is no danger; lines may mix.
struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the device's registers, which are mapped.
            unsafe {
                while UART.add(LINE_STATUS).read_volatile() & IS_READY == 0 {}
                UART.write_volatile(byte);
            }
        }
        Ok(())
    }
}

static CONSOLE: spin::Mutex<Uart> = spin::Mutex::new(Uart);

/// Prints without a mix with other harts' lines. Not for interrupts: they may have interrupted a line.
pub fn print(line: fmt::Arguments) {
    let _ = CONSOLE.lock().write_fmt(line);
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($format:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($format)*))) };
}

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// A mistake anywhere, in any context, ends the machine with status 101, as it does a program.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // The first says what is wrong, without the lock: whoever has it may never give it back.
    if !HAS_PANICKED.swap(true, Ordering::Relaxed) {
        let _ = writeln!(Uart, "\nhart {}: {info}", boot::hart());
        boot::exit(101)
    }
    loop {
        riscv::asm::wfi();
    }
}
