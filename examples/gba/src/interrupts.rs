//! Interrupts, and how they are kept off.

use core::arch::{asm, naked_asm};

use critical_section::RawRestoreState;
use gba::RUST_IRQ_HANDLER;
use gba::interrupts::IrqBits;
use gba::mmio::{DISPSTAT, IE, IME, TIMER2_CONTROL, TIMER2_RELOAD};
use gba::timers::TimerControl;
use gba::video::DisplayStatus;

use crate::events;

/// Cycles from one reading of the pump to the next: nine in a frame, each time at another place in the program.
const PUMP_CYCLES: u16 = 31_013;

/// All interrupts off, by the register that is there for it.
struct MasterEnable;

critical_section::set_impl!(MasterEnable);

// SAFETY: there is one core, which takes no interrupt while the register is 0, and no access to memory leaves the section.
unsafe impl critical_section::Impl for MasterEnable {
    unsafe fn acquire() -> RawRestoreState {
        let was_on = IME.read();
        IME.write(false);
        keep_order();
        was_on
    }

    unsafe fn release(was_on: RawRestoreState) {
        keep_order();
        IME.write(was_on);
    }
}

/// Keeps the compiler from moving accesses to memory past it, as `compiler_fence` does, but without the call that it is on ARMv4T.
#[inline(always)]
fn keep_order() {
    // SAFETY: it does nothing.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// LLVM makes every fence a call of this on ARMv4T, those that are for the compiler alone as well. To such a processor the order of accesses is
/// that of its instructions.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn __sync_synchronize() {
    naked_asm!("bx lr")
}

/// From now on the screen and the pump interrupt the program.
pub fn start() {
    RUST_IRQ_HANDLER.write(Some(handle));
    DISPSTAT.write(DisplayStatus::new().with_irq_vblank(true));
    TIMER2_RELOAD.write(PUMP_CYCLES.wrapping_neg());
    TIMER2_CONTROL.write(TimerControl::new().with_overflow_irq(true).with_enabled(true));
    IE.write(IrqBits::VBLANK.with_timer2(true));
    IME.write(true);
}

/// And from now on they do not.
pub fn stop() {
    IME.write(false);
    TIMER2_CONTROL.write(TimerControl::new());
}

extern "C" fn handle(which: IrqBits) {
    if which.timer2() {
        events::read_pump();
    }
    if which.vblank() {
        events::read_keys();
    }
}
