//! Page tables of four levels.

use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::tlb;

pub const LEVELS: usize = 4;

/// RAM and devices. A kernel with users would map code, constants and data apart.
pub const BLOCKS: [u64; 2] = [
    entry(0, MEMORY.union(Flags::HUGE_PAGE)),
    entry(0xc000_0000, MEMORY.union(Flags::HUGE_PAGE).union(Flags::NO_EXECUTE).union(Flags::NO_CACHE)),
];

/// Accessed and dirty from the start, so that processors need not write that.
const MEMORY: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::ACCESSED).union(Flags::DIRTY);

/// An entry for a page.
pub fn leaf(frame: usize) -> u64 {
    entry(frame, MEMORY.union(Flags::NO_EXECUTE))
}

/// An entry for a page table.
pub fn table(frame: usize) -> u64 {
    entry(frame, Flags::PRESENT.union(Flags::WRITABLE))
}

/// The address in an entry.
pub fn target(entry: u64) -> usize {
    (entry & 0x000f_ffff_ffff_f000) as usize
}

const fn entry(start: usize, flags: Flags) -> u64 {
    start as u64 | flags.bits()
}

/// Leaves the page tables of the boot code, on this core.
pub fn turn_on(root: usize) {
    let root = PhysFrame::containing_address(PhysAddr::new(root as u64));
    // SAFETY: the code goes on at the same addresses.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
}

/// Nothing to do: no core keeps in mind that there was nothing.
pub fn is_there(_page: usize) {}

/// All cores empty their TLBs. Pages would have to be handed over to them, and to forget more than a few one by one is no faster.
pub fn is_gone(_page: usize, _count: usize) {
    tlb::shoot_down();
}
