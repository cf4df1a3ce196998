//! Page tables: Sv39.

use riscv::asm::{sfence_vma, sfence_vma_all};
use riscv::register::satp;

use crate::frames::FRAME_SIZE;
use crate::paging::VALID;

const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXECUTE: u64 = 1 << 3;
/// Set from the start, because harts may fault instead of setting them.
const ACCESSED_AND_DIRTY: u64 = 1 << 6 | 1 << 7;

pub const LEVELS: usize = 3;

/// Devices and RAM. A kernel with users would map code, constants and data apart.
pub const BLOCKS: [u64; 2] = [memory(0, READ | WRITE), memory(0x8000_0000, READ | WRITE | EXECUTE)];

/// An entry for a page.
pub fn leaf(frame: usize) -> u64 {
    memory(frame, READ | WRITE)
}

/// An entry for a page table.
pub const fn table(frame: usize) -> u64 {
    ((frame / FRAME_SIZE) as u64) << 10 | VALID
}

/// The address in an entry.
pub fn target(entry: u64) -> usize {
    (entry >> 10) as usize * FRAME_SIZE
}

const fn memory(start: usize, rights: u64) -> u64 {
    table(start) | rights | ACCESSED_AND_DIRTY
}

/// Turns paging on, on this hart.
pub fn turn_on(root: usize) {
    // SAFETY: the code goes on at the same addresses.
    unsafe { satp::set(satp::Mode::Sv39, 0, root / FRAME_SIZE) };
    sfence_vma_all();
}

/// Tells this hart that there is something at `page`.
pub fn is_there(page: usize) {
    sfence_vma(0, page);
}

/// Tells all harts that nothing is there. The firmware interrupts them, in machine mode, where nobody can turn interrupts off; when it returns, all have forgotten the pages.
pub fn is_gone(page: usize, count: usize) {
    let fenced = sbi_rt::remote_sfence_vma(sbi_rt::HartMask::all(), page, count * FRAME_SIZE);
    assert!(fenced.is_ok(), "no fence: {fenced:?}");
    sfence_vma_all();
}
