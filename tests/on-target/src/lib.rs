//! What the tests of this package share: a board with a timer, memory, and who masks interrupts for how long.
#![no_std]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use coreheap_bare::coreheap::CoreNumber;
use semihosting::{print, println, process};
use talc::cell::{TalcCell, TalcSyncCell};
use talc::{DefaultBinning, source::Claim};

#[cfg_attr(target_arch = "arm", path = "../../../examples/smoke/src/cortex_m.rs")]
#[cfg_attr(target_arch = "riscv32", path = "../../../examples/smoke/src/riscv.rs")]
pub mod board;
#[cfg_attr(target_arch = "arm", path = "../../bench-bare/firmware/src/cortex_m.rs")]
#[cfg_attr(target_arch = "riscv32", path = "../../bench-bare/firmware/src/riscv.rs")]
pub mod counter;
pub mod guest;
pub mod masking;
#[path = "../../bench-bare/firmware/src/nops.rs"]
pub mod nops;
pub mod watched;

/// Bytes of the memory for heaps under test.
pub const SIZE: usize = 4 << 20;

/// What the tests themselves need: lists, the shadow model. Another allocator, so that nothing is tested by itself.
#[global_allocator]
static OWN: TalcSyncCell<Claim, DefaultBinning> = {
    static mut MEMORY: [MaybeUninit<u8>; 8 << 20] = [MaybeUninit::uninit(); 8 << 20];
    // SAFETY: the memory is nobody else's. One core, and interrupts of these tests use the heap under test only.
    unsafe { TalcSyncCell::new(TalcCell::new(Claim::array(&raw mut MEMORY))) }
};

struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: it is given out as a raw pointer only.
unsafe impl Sync for Memory {}

/// Memory for heaps under test, one after the other: `SIZE` bytes from here on, which are not zero.
pub fn memory() -> *mut u8 {
    static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));
    let start = MEMORY.0.get().cast::<u8>();
    // SAFETY: no heap has it yet: this is called once in a program.
    unsafe { start.write_bytes(0xa5, SIZE) };
    start
}

/// One core, where nobody keeps interrupts out of a pop or push.
#[derive(Debug)]
pub struct Unpinned;

impl CoreNumber for Unpinned {
    fn core_number() -> usize {
        0
    }
}

/// Runs a part of a test.
pub fn part(name: &str, work: impl FnOnce()) {
    print!("{name} ... ");
    work();
    println!("ok");
}

/// Waits for an interrupt.
pub fn wait() {
    #[cfg(target_arch = "arm")]
    cortex_m::asm::wfi();
    #[cfg(target_arch = "riscv32")]
    riscv::asm::wfi();
}

/// Ends the program with success.
pub fn done() -> ! {
    process::exit(0)
}
