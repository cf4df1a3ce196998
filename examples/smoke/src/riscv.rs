//! A 32-bit RISC-V, on QEMU's virt board.

use core::cell::Cell;

use critical_section::Mutex;
use riscv::interrupt::Interrupt;
use riscv::register::{mcause, mie, mstatus};

pub use riscv_rt::entry;

/// Half of the hart's time of the next interrupt, and of the time: 10 MHz.
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;
const MTIME: *const u32 = 0x0200_bff8 as *const u32;

/// Ticks that leave time for other work as well.
pub const PERIOD: u32 = 2_000;

static HANDLER: Mutex<Cell<fn() -> u32>> = Mutex::new(Cell::new(|| PERIOD));

/// Calls `handler` from an interrupt again and again, each time after as many ticks as it said the last time.
pub fn start_timer(handler: fn() -> u32) {
    critical_section::with(|token| HANDLER.borrow(token).set(handler));
    set_alarm(PERIOD);
    // SAFETY: the handler is there.
    unsafe {
        mie::set_mtimer();
        mstatus::set_mie();
    }
}

/// No more calls.
pub fn stop_timer() {
    // SAFETY: nobody relies on it any more.
    unsafe { mie::clear_mtimer() };
}

/// A program runs for less than the seven minutes in which the lower half of the time is all of it.
fn set_alarm(ticks: u32) {
    // SAFETY: the registers of this board's timer, which nothing else in this program uses.
    unsafe {
        MTIMECMP.write_volatile(MTIME.read_volatile().wrapping_add(ticks));
        MTIMECMP.add(1).write_volatile(0);
    }
}

#[riscv_rt::core_interrupt(Interrupt::MachineTimer)]
fn timer() {
    set_alarm(critical_section::with(|token| HANDLER.borrow(token).get())());
}

#[unsafe(export_name = "ExceptionHandler")]
fn exception(_: &riscv_rt::TrapFrame) -> ! {
    panic!("exception {:#x} at {:#x}", mcause::read().bits(), riscv::register::mepc::read());
}
