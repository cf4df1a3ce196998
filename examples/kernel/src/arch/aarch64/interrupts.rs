//! Exceptions: the timer, by way of a GICv3, and what goes wrong.

use core::arch::{asm, naked_asm};
use core::ptr::NonNull;

use aarch64_cpu::asm::barrier::{SY, isb};
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_TVAL_EL0, CNTVCT_EL0, DAIF, ELR_EL1, ESR_EL1, FAR_EL1, Readable, VBAR_EL1, Writeable,
};
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, GicRedistributor};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};

use crate::{arch, paging, profiler};

/// The interrupt of the virtual timer, which every core has for itself.
const TIMER: IntId = IntId::ppi(11);
const NO_INTERRUPTS: &str = "the interrupt controller gives no interrupts";

/// Sends this core's exceptions to `vectors`, and the timer's interrupts to this core.
pub fn init() {
    VBAR_EL1.set(vectors as *const () as u64);
    isb(SY);
    init_distributor();

    const REDISTRIBUTORS: *mut GicrSgi = 0x80a_0000 as *mut GicrSgi;
    let own = NonNull::new(REDISTRIBUTORS.wrapping_add(arch::core())).expect(NO_INTERRUPTS);
    // SAFETY: the device's registers, which are mapped, for this core, which alone uses them.
    let mut redistributor = GicRedistributor::new(unsafe { UniqueMmioPointer::new(own) });
    redistributor.mark_core_awake().expect(NO_INTERRUPTS);
    redistributor.configure_default_settings();
    redistributor.enable_interrupt(TIMER, true).expect(NO_INTERRUPTS);
    GicCpuInterface::enable_system_register_el1();
    GicCpuInterface::set_priority_mask(u8::MAX);
    GicCpuInterface::enable_group1(true);
}

/// What all cores share of the interrupt controller, which the first turns on.
fn init_distributor() {
    static DONE: spin::Once = spin::Once::new();
    const DISTRIBUTOR: *mut Gicd = 0x800_0000 as *mut Gicd;
    DONE.call_once(|| {
        let registers = NonNull::new(DISTRIBUTOR).expect(NO_INTERRUPTS);
        // SAFETY: the device's registers, which are mapped, and nobody else uses them.
        GicDistributor::new(unsafe { UniqueMmioPointer::new(registers) }).configure_default_settings();
    });
}

/// Timer interrupts begin on this core.
pub fn start_timer() {
    set_timer();
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    // SAFETY: nothing is held that the handler needs.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) };
}

/// They end.
pub fn stop_timer() {
    // SAFETY: what follows may run with interrupts and without.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) };
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::CLEAR);
}

fn set_timer() {
    let delay = profiler::microseconds_to_next(CNTVCT_EL0.get());
    CNTV_TVAL_EL0.set(CNTFRQ_EL0.get() * delay / 1_000_000);
}

/// Runs `work` with interrupts off on this core, and then as they were before.
#[inline(always)]
pub fn off<R>(work: impl FnOnce() -> R) -> R {
    let before = DAIF.get();
    // SAFETY: as they were again below. The compiler takes both to use memory, so what `work` does there stays in between.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) };
    let result = work();
    // SAFETY: as above.
    unsafe { asm!("msr daif, {}", in(reg) before, options(nostack, preserves_flags)) };
    result
}

/// Sixteen entries of 128 bytes: four kinds of exceptions, from each of four states. The linker script puts them where `VBAR_EL1` can point to.
#[unsafe(naked)]
#[unsafe(link_section = ".text.trap")]
unsafe extern "C" fn vectors() {
    naked_asm!(
        ".irp kind, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        ".balign 128",
        "sub sp, sp, #22*8",
        "stp x0, x1, [sp]",
        "mov x0, #\\kind",
        "b {save_and_trap}",
        ".endr",
        save_and_trap = sym save_and_trap,
    )
}

/// Saves what Rust functions may change, on the stack of what was interrupted; and what the next exception changes, because a page fault may
/// come during an interrupt. There are no floating-point registers to save: code for this target, the one with `softfloat`, uses none.
#[unsafe(naked)]
#[rustfmt::skip]
unsafe extern "C" fn save_and_trap() {
    naked_asm!(
        "stp x2, x3, [sp, #2*8]",    "stp x4, x5, [sp, #4*8]",    "stp x6, x7, [sp, #6*8]",    "stp x8, x9, [sp, #8*8]",
        "stp x10, x11, [sp, #10*8]", "stp x12, x13, [sp, #12*8]", "stp x14, x15, [sp, #14*8]", "stp x16, x17, [sp, #16*8]",
        "stp x18, x30, [sp, #18*8]",
        "mrs x1, elr_el1", "mrs x2, spsr_el1", "stp x1, x2, [sp, #20*8]",
        "bl {trap}",
        "ldp x1, x2, [sp, #20*8]", "msr elr_el1, x1", "msr spsr_el1, x2",
        "ldp x18, x30, [sp, #18*8]",
        "ldp x16, x17, [sp, #16*8]", "ldp x14, x15, [sp, #14*8]", "ldp x12, x13, [sp, #12*8]", "ldp x10, x11, [sp, #10*8]",
        "ldp x8, x9, [sp, #8*8]",    "ldp x6, x7, [sp, #6*8]",    "ldp x4, x5, [sp, #4*8]",    "ldp x2, x3, [sp, #2*8]",
        "ldp x0, x1, [sp]",
        "add sp, sp, #22*8",
        "eret",
        trap = sym trap,
    )
}

extern "C" fn trap(kind: usize) {
    // From the kernel itself, on its own stack.
    const SYNCHRONOUS: usize = 4;
    const INTERRUPT: usize = 5;
    let (at, address) = (ELR_EL1.get() as usize, FAR_EL1.get() as usize);
    match kind {
        INTERRUPT => {
            GicCpuInterface::handle_interrupt(InterruptGroup::Group1, |interrupt| {
                assert_eq!(interrupt, TIMER, "an interrupt that nobody asked for");
                profiler::tick(at);
                set_timer();
            });
        }
        // The page was mapped by another core, and this one had looked at the tables ahead of time: the next time it finds the page.
        SYNCHRONOUS if is_translation_fault() && paging::is_mapped(address) => {}
        _ => panic!("exception {kind}, {:#x}, at {at:#x}, address {address:#x}", ESR_EL1.get()),
    }
}

/// Whether a load or store found no page.
fn is_translation_fault() -> bool {
    const LEVEL: u64 = 0b11;
    const TRANSLATION_FAULT: u64 = 0b000100;
    let is_access = ESR_EL1.matches_all(ESR_EL1::EC::DataAbortCurrentEL);
    is_access && ESR_EL1.read(ESR_EL1::ISS) & 0b111111 & !LEVEL == TRANSLATION_FAULT
}
