//! Virtual memory: Sv39, one address space for all harts.
//!
//! RAM and devices lie at their own addresses, in pages of 1 GiB. Pages of 4 KiB come and go elsewhere. There is no lock: entries are atomics,
//! and whoever maps or unmaps a page is the only one who does so with that page.

use core::ptr::{NonNull, with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use riscv::asm::{sfence_vma, sfence_vma_all};
use riscv::register::satp;

use crate::frames::{self, FRAME_SIZE};

const VALID: u64 = 1 << 0;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXECUTE: u64 = 1 << 3;
/// Set from the start, because harts may fault instead of setting them.
const ACCESSED_AND_DIRTY: u64 = 1 << 6 | 1 << 7;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static ROOT: Table = Table([const { AtomicU64::new(0) }; 512]);

/// How many frames are page tables.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Maps devices and RAM. Once, before any hart turns paging on.
pub fn init() {
    const DEVICES: usize = 0;
    const RAM: usize = 0x8000_0000;
    let map = |start: usize, rights| ROOT.0[start >> 30].store(leaf(start, rights), Ordering::Relaxed);
    map(DEVICES, READ | WRITE);
    // A kernel with users would map code, constants and data apart.
    map(RAM, READ | WRITE | EXECUTE);
}

/// Turns paging on, on this hart.
pub fn turn_on() {
    // SAFETY: the code goes on at the same addresses.
    unsafe { satp::set(satp::Mode::Sv39, 0, (&raw const ROOT).addr() / FRAME_SIZE) };
    sfence_vma_all();
}

/// Maps a frame at a page that has none. False: there was no frame for a page table.
pub fn map(page: usize, frame: NonNull<u8>) -> bool {
    let Some(entry) = entry(page, frames::allocate) else { return false };
    entry.store(leaf(frame.as_ptr().expose_provenance(), READ | WRITE), Ordering::Release);
    // For this hart. One that has looked here before, when there was nothing, may fault once more: see `is_mapped`.
    sfence_vma(0, page);
    true
}

/// Unmaps `count` pages from `page` on, all of which are mapped, and frees their frames.
///
/// # Safety
/// Nobody uses what is in them.
pub unsafe fn unmap(page: usize, count: usize) {
    let entries = || (0..count).filter_map(|index| entry(page + index * FRAME_SIZE, || None));
    entries().for_each(|entry| {
        entry.fetch_and(!VALID, Ordering::Relaxed);
    });
    // Every hart keeps translations in its TLB, and none looks at the tables while it has one there. The frames are about to be someone
    // else's, and the pages may get others: so all harts forget these pages first. The firmware interrupts them, in machine mode, where
    // nobody can turn interrupts off; when it returns, all have done so.
    let fenced = sbi_rt::remote_sfence_vma(sbi_rt::HartMask::all(), page, count * FRAME_SIZE);
    assert!(fenced.is_ok(), "no fence: {fenced:?}");
    sfence_vma_all();
    entries().for_each(|entry| {
        let frame = NonNull::new(with_exposed_provenance_mut(target(entry.swap(0, Ordering::Relaxed))));
        // SAFETY: it was mapped here and nowhere else, and no TLB knows it any more.
        unsafe { frames::free(frame.expect("the page was mapped")) };
    });
}

/// Whether there is a page at `address`. A hart may have kept in mind that there was none: then it faults, and has to be told.
pub fn is_mapped(address: usize) -> bool {
    entry(address, || None).is_some_and(|entry| entry.load(Ordering::Acquire) & VALID != 0)
}

/// How many frames are page tables. They stay.
pub fn tables() -> usize {
    TABLES.load(Ordering::Relaxed)
}

/// The entry of a page of 4 KiB; the tables that lead there are made of what `frame` gives.
fn entry(address: usize, frame: impl Fn() -> Option<NonNull<u8>>) -> Option<&'static AtomicU64> {
    let index = |level: usize| address >> (12 + 9 * level) & 511;
    let mut table = &ROOT;
    for level in [2, 1] {
        let entry = &table.0[index(level)];
        let mut value = entry.load(Ordering::Acquire);
        if value == 0 {
            value = add_table(entry, frame()?);
        }
        // SAFETY: tables stay, and have the layout of `Table`. Acquire pairs with `add_table`: it is seen as zero at first.
        table = unsafe { &*with_exposed_provenance::<Table>(target(value)) };
    }
    Some(&table.0[index(0)])
}

/// Enters a new table, a frame of zeros, unless another hart, or an interrupt, was first. Returns the entry.
fn add_table(entry: &AtomicU64, frame: NonNull<u8>) -> u64 {
    let value = (frame.as_ptr().expose_provenance() as u64 / FRAME_SIZE as u64) << 10 | VALID;
    match entry.compare_exchange(0, value, Ordering::Release, Ordering::Acquire) {
        Ok(_) => {
            TABLES.fetch_add(1, Ordering::Relaxed);
            value
        }
        Err(other) => {
            // SAFETY: just allocated, and not used.
            unsafe { frames::free(frame) };
            other
        }
    }
}

/// An entry for memory.
fn leaf(start: usize, rights: u64) -> u64 {
    ((start / FRAME_SIZE) as u64) << 10 | rights | VALID | ACCESSED_AND_DIRTY
}

/// The address in an entry.
fn target(entry: u64) -> usize {
    (entry >> 10) as usize * FRAME_SIZE
}
