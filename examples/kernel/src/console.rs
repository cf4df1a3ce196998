//! The serial port, and what prints on it.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch;

/// The serial port. More than one is no danger; lines may mix.
struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(arch::send_byte);
        Ok(())
    }
}

static CONSOLE: spin::Mutex<Serial> = spin::Mutex::new(Serial);

/// Prints without a mix with other cores' lines. Not for interrupts: they may have interrupted a line.
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
        let _ = writeln!(Serial, "\ncore {}: {info}", arch::core());
        arch::exit(101)
    }
    loop {
        arch::wait_for_interrupt();
    }
}
