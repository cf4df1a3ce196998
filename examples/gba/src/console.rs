//! What mGBA prints for a program, and how one ends.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use gba::mgba::{MgbaBufferedLogger, MgbaMessageLevel};
use gba::mmio::IME;

/// Prints; nothing where there is no mGBA.
pub fn print(line: fmt::Arguments) {
    if let Ok(mut log) = MgbaBufferedLogger::try_new(MgbaMessageLevel::Info) {
        let _ = log.write_fmt(line);
    }
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($format:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($format)*))) };
}

/// Ends the program: a line that the runner waits for, and then nothing more but the picture.
pub fn exit(status: u8) -> ! {
    IME.write(false);
    println!("EXIT {status}");
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // No interrupt is to panic as well.
    IME.write(false);
    println!("{info}");
    exit(101)
}
