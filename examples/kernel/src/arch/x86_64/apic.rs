//! The local APIC, one for each core, all at the same address: its timer, and messages to other cores.

use x86_64::instructions::port::Port;

use super::interrupts;

/// Messages to other cores; the others' bits are those of the register.
pub const NMI: u32 = 4 << 8 | ASSERT;
pub const INIT: u32 = 5 << 8 | ASSERT;
/// To be combined with the number of the page where the core starts.
pub const START_UP: u32 = 6 << 8 | ASSERT;
const ASSERT: u32 = 1 << 14;

/// The vectors of this core's interrupts.
pub const TIMER: u8 = 32;
pub const SPURIOUS: u8 = 255;

const BASE: *mut u32 = 0xfee0_0000 as *mut u32;

// Registers, as offsets in bytes.
const END_OF_INTERRUPT: usize = 0x0b0;
const SPURIOUS_VECTOR: usize = 0x0f0;
const COMMAND: usize = 0x300;
const DESTINATION: usize = 0x310;
const LOCAL_TIMER: usize = 0x320;
const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDER: usize = 0x3e0;

const IS_MASKED: u32 = 1 << 16;
const IS_PENDING: u32 = 1 << 12;

/// QEMU counts nanoseconds. Other machines have to be measured against a clock that is known.
const TICKS_PER_MICROSECOND: u64 = 1000;

/// Once on each core.
pub fn init() {
    const IS_ENABLED: u32 = 1 << 8;
    const BY_ONE: u32 = 0b1011;
    write(SPURIOUS_VECTOR, IS_ENABLED | u32::from(SPURIOUS));
    // The firmware has left the old interrupt controllers on. They have vectors that are exceptions now.
    for mask in [0x21, 0xa1] {
        // SAFETY: the ports of the controllers' masks.
        unsafe { Port::<u8>::new(mask).write(0xff) };
    }
    write(DIVIDER, BY_ONE);
    stop_timer();
}

/// Sends a message to another core.
pub fn send(core: usize, message: u32) {
    // An interrupt's handler may send as well.
    interrupts::off(|| {
        write(DESTINATION, (core as u32) << 24);
        write(COMMAND, message);
        while read(COMMAND) & IS_PENDING != 0 {}
    });
}

/// An interrupt is to come, once, in so many microseconds.
pub fn start_timer(microseconds: u64) {
    write(LOCAL_TIMER, u32::from(TIMER));
    count_from(microseconds);
}

/// No interrupt is to come.
pub fn stop_timer() {
    write(LOCAL_TIMER, IS_MASKED | u32::from(TIMER));
}

/// Waits, while the timer is off.
pub fn wait(microseconds: u64) {
    count_from(microseconds);
    while read(CURRENT_COUNT) != 0 {
        core::hint::spin_loop();
    }
}

/// The handler of an interrupt is at its end.
pub fn end_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

fn count_from(microseconds: u64) {
    write(INITIAL_COUNT, (microseconds * TICKS_PER_MICROSECOND) as u32);
}

fn read(register: usize) -> u32 {
    // SAFETY: the device's register, which is mapped.
    unsafe { BASE.byte_add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: the device's register, which is mapped. What it does at most is to interrupt a core.
    unsafe { BASE.byte_add(register).write_volatile(value) };
}
