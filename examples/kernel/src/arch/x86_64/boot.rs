//! From the firmware into Rust: the first core, and then the others.

use core::arch::global_asm;
use core::ptr::{copy_nonoverlapping, with_exposed_provenance_mut};

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::GsBase;

use super::{apic, tlb};
use crate::cores::{self, STACK_SIZE, STACKS};

global_asm!(
    include_str!("boot.s"),
    stacks = sym STACKS,
    stack_shift = const STACK_SIZE.ilog2(),
    enter = sym enter,
);

/// Every core comes here, with its number.
extern "C" fn enter(core: usize, is_first: bool) -> ! {
    // GS is for data of one core's own. Here that is its number, which fits into the base.
    // SAFETY: only allows the instructions that read and write the base.
    unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::FSGSBASE)) };
    GsBase::write(VirtAddr::new(core as u64));
    cores::enter(is_first)
}

/// Starts another core, and waits until it is there.
pub fn start(core: usize) {
    /// A page below 1 MiB that nobody uses.
    const TRAMPOLINE: usize = 0x8000;
    unsafe extern "C" {
        static trampoline: u8;
        static trampoline_end: u8;
    }
    let (start, end) = (&raw const trampoline, &raw const trampoline_end);
    // SAFETY: this is RAM, mapped at its own addresses, and no core that was started before is there any more.
    unsafe { copy_nonoverlapping(start, with_exposed_provenance_mut(TRAMPOLINE), end.addr() - start.addr()) };
    // As the manuals want it: the second message is for cores that have missed the first.
    apic::send(core, apic::INIT);
    apic::wait(10_000);
    for _ in 0..2 {
        apic::send(core, apic::START_UP | (TRAMPOLINE / 4096) as u32);
        apic::wait(200);
    }
    let is_up = || {
        apic::wait(100);
        tlb::has_joined(core)
    };
    assert!((0..10_000).any(|_| is_up()), "core {core} does not start");
}
