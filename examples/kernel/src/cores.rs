//! The cores, from the boot code of their architecture into `main`.

use crate::{arch, paging};

/// How many there are. They have the numbers from 0 on.
pub const CORES: usize = 4;

pub const STACK_SIZE: usize = 64 * 1024;

#[repr(C, align(16))]
pub struct Stacks([[u8; STACK_SIZE]; CORES]);

/// A stack for each.
pub static mut STACKS: Stacks = Stacks([[0; STACK_SIZE]; CORES]);

/// Every core comes here on its own stack, with interrupts off: the first, which may be any, and those that it starts.
pub extern "C" fn enter(is_first: bool) -> ! {
    if is_first {
        paging::init();
    }
    paging::turn_on();
    arch::interrupts::init();
    if is_first { crate::main() } else { crate::core_main() }
}

/// Starts all other cores.
pub fn start_others() {
    (0..CORES).filter(|other| *other != arch::core()).for_each(arch::start);
}
