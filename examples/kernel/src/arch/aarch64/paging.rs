//! Page tables: 4 KiB pages in 39 bits of address, by `TTBR0_EL1` only.

use core::arch::asm;

use aarch64_cpu::asm::barrier::{ISH, ISHST, SY, dsb, isb};
use aarch64_cpu::registers::{MAIR_EL1, ReadWriteable, SCTLR_EL1, TCR_EL1, TTBR0_EL1, Writeable};

use crate::frames::FRAME_SIZE;
use crate::paging::VALID;

/// A page or a table; without it, a block.
const PAGE_OR_TABLE: u64 = 1 << 1;
/// Which attributes of `MAIR_EL1` memory has: cached for RAM, in order and as written for devices.
const RAM: u64 = 0 << 2;
const DEVICE: u64 = 1 << 2;
/// Caches and barriers of all cores take part.
const INNER_SHAREABLE: u64 = 3 << 8;
/// Set from the start, because cores may fault instead of setting it.
const ACCESSED: u64 = 1 << 10;
/// Not even in this exception level, nor in that of users.
const NEVER_EXECUTE: u64 = 1 << 53 | NEVER_EXECUTE_BY_USERS;
const NEVER_EXECUTE_BY_USERS: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

pub const LEVELS: usize = 3;

/// Devices and RAM. A kernel with users would map code, constants and data apart.
pub const BLOCKS: [u64; 2] = [memory(0, DEVICE | NEVER_EXECUTE), memory(0x4000_0000, RAM | NEVER_EXECUTE_BY_USERS)];

/// An entry for a page.
pub fn leaf(frame: usize) -> u64 {
    memory(frame, RAM | NEVER_EXECUTE) | PAGE_OR_TABLE
}

/// An entry for a page table.
pub fn table(frame: usize) -> u64 {
    frame as u64 | PAGE_OR_TABLE | VALID
}

/// The address in an entry.
pub fn target(entry: u64) -> usize {
    (entry & ADDRESS) as usize
}

const fn memory(start: usize, attributes: u64) -> u64 {
    start as u64 | attributes | INNER_SHAREABLE | ACCESSED | VALID
}

/// Turns paging and caches on, on this core.
pub fn turn_on(root: usize) {
    MAIR_EL1.write(
        MAIR_EL1::Attr0_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc
            + MAIR_EL1::Attr0_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc
            + MAIR_EL1::Attr1_Device::nonGathering_nonReordering_EarlyWriteAck,
    );
    TCR_EL1.write(
        TCR_EL1::T0SZ.val(64 - 39)
            + TCR_EL1::TG0::KiB_4
            + TCR_EL1::SH0::Inner
            + TCR_EL1::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable
            + TCR_EL1::EPD1::DisableTTBR1Walks
            + TCR_EL1::IPS::Bits_40,
    );
    TTBR0_EL1.set_baddr(root as u64);
    // SAFETY: forgets what this core may have kept in mind from before.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
    // The tables are written, and the registers set, before they are used.
    dsb(SY);
    isb(SY);
    // The code goes on at the same addresses.
    SCTLR_EL1.modify(SCTLR_EL1::M::Enable + SCTLR_EL1::C::Cacheable + SCTLR_EL1::I::Cacheable);
    isb(SY);
}

/// Makes the new entry known to what walks the tables, on any core, before what comes next. No core keeps in mind that there was nothing.
pub fn is_there(_page: usize) {
    dsb(ISHST);
    isb(SY);
}

/// Tells all cores that nothing is there. The hardware does it: "inner shareable" goes to all, no interrupt is needed, and the barrier
/// returns when all have forgotten the pages, and have done what they had begun there.
pub fn is_gone(page: usize, count: usize) {
    dsb(ISHST);
    for page in (page..page + count * FRAME_SIZE).step_by(FRAME_SIZE) {
        // SAFETY: drops a translation, of the last level, in all address spaces; the next access looks at the tables.
        unsafe { asm!("tlbi vaale1is, {}", in(reg) page / FRAME_SIZE, options(nostack, preserves_flags)) };
    }
    dsb(ISH);
    isb(SY);
}
