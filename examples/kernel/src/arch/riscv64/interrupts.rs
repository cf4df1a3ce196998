//! Traps: the timer, and what goes wrong.

use core::arch::naked_asm;

use riscv::interrupt::Trap;
use riscv::interrupt::supervisor::{self as interrupt, Exception, Interrupt};
use riscv::register::{scause, sepc, sstatus, stval, stvec, time};

use crate::{paging, profiler};

/// Runs `work` with interrupts off on this hart, and then as they were before.
pub use riscv::interrupt::supervisor::free as off;

/// Sends this hart's traps to `trap_entry`.
pub fn init() {
    // SAFETY: a trap may come from here on. The FPU stays off: a kernel that counts in whole numbers need not save its registers.
    unsafe {
        stvec::write(stvec::Stvec::new(trap_entry as *const () as usize, stvec::TrapMode::Direct));
        sstatus::set_fs(sstatus::FS::Off);
    }
}

/// Timer interrupts begin on this hart.
pub fn start_timer() {
    set_timer();
    // SAFETY: nothing is held that the handler needs.
    unsafe {
        interrupt::enable_interrupt(Interrupt::SupervisorTimer);
        interrupt::enable();
    }
}

/// They end.
pub fn stop_timer() {
    interrupt::disable_interrupt(Interrupt::SupervisorTimer);
    interrupt::disable();
}

fn set_timer() {
    // The clock of QEMU's virt.
    const TICKS_PER_MICROSECOND: u64 = 10;
    let now = time::read64();
    sbi_rt::set_timer(now + profiler::microseconds_to_next(now) * TICKS_PER_MICROSECOND);
}

/// Saves what Rust functions may change, on the stack of what was interrupted; and what the next trap changes, because a page fault may come
/// during an interrupt. The linker script puts this where `stvec` can point to.
#[unsafe(naked)]
#[unsafe(link_section = ".text.trap")]
#[rustfmt::skip]
unsafe extern "C" fn trap_entry() {
    naked_asm!(
        "addi sp, sp, -18*8",
        "sd ra, 0*8(sp)",  "sd t0, 1*8(sp)",  "sd t1, 2*8(sp)",  "sd t2, 3*8(sp)",
        "sd t3, 4*8(sp)",  "sd t4, 5*8(sp)",  "sd t5, 6*8(sp)",  "sd t6, 7*8(sp)",
        "sd a0, 8*8(sp)",  "sd a1, 9*8(sp)",  "sd a2, 10*8(sp)", "sd a3, 11*8(sp)",
        "sd a4, 12*8(sp)", "sd a5, 13*8(sp)", "sd a6, 14*8(sp)", "sd a7, 15*8(sp)",
        "csrr t0, sepc",   "sd t0, 16*8(sp)", "csrr t0, sstatus", "sd t0, 17*8(sp)",
        "call {trap}",
        "ld t0, 16*8(sp)", "csrw sepc, t0",   "ld t0, 17*8(sp)", "csrw sstatus, t0",
        "ld ra, 0*8(sp)",  "ld t0, 1*8(sp)",  "ld t1, 2*8(sp)",  "ld t2, 3*8(sp)",
        "ld t3, 4*8(sp)",  "ld t4, 5*8(sp)",  "ld t5, 6*8(sp)",  "ld t6, 7*8(sp)",
        "ld a0, 8*8(sp)",  "ld a1, 9*8(sp)",  "ld a2, 10*8(sp)", "ld a3, 11*8(sp)",
        "ld a4, 12*8(sp)", "ld a5, 13*8(sp)", "ld a6, 14*8(sp)", "ld a7, 15*8(sp)",
        "addi sp, sp, 18*8",
        "sret",
        trap = sym trap,
    )
}

extern "C" fn trap() {
    let (at, address) = (sepc::read(), stval::read());
    match scause::read().cause().try_into() {
        Ok(Trap::Interrupt(Interrupt::SupervisorTimer)) => {
            profiler::tick(at);
            set_timer();
        }
        // The page was mapped by another hart, and this one had kept in mind that there was none.
        Ok(Trap::Exception(Exception::LoadPageFault | Exception::StorePageFault)) if paging::is_mapped(address) => {
            super::paging::is_there(address);
        }
        other => panic!("{other:?} at {at:#x}, address {address:#x}"),
    }
}
