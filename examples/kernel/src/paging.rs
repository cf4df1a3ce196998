//! Virtual memory: one address space for all cores.
//!
//! RAM and devices lie at their own addresses, in blocks of 1 GiB. Pages of 4 KiB come and go elsewhere. There is no lock: entries are atomics,
//! and whoever maps or unmaps a page is the only one who does so with that page.

use core::ptr::{NonNull, with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch::paging as arch;
use crate::frames::{self, FRAME_SIZE};
use crate::heap::WINDOW;

/// The bit in an entry that says that there is something. Every architecture has it here.
pub const VALID: u64 = 1 << 0;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static ROOT: Table = Table([const { AtomicU64::new(0) }; 512]);

/// How many frames are page tables.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Maps devices and RAM. Once, before any core turns paging on.
pub fn init() {
    for block in arch::BLOCKS {
        let entry = entry(arch::target(block), 2, frames::allocate).expect("there are frames for page tables");
        entry.store(block, Ordering::Relaxed);
    }
}

/// Turns paging on, on this core.
pub fn turn_on() {
    arch::turn_on((&raw const ROOT).addr());
}

/// Maps a frame at a page that has none. False: there was no frame for a page table.
pub fn map(page: usize, frame: NonNull<u8>) -> bool {
    let Some(entry) = entry(page, 0, frames::allocate) else { return false };
    entry.store(arch::leaf(frame.as_ptr().expose_provenance()), Ordering::Release);
    // For this core. Another may fault once more: see `is_mapped`.
    arch::is_there(page);
    true
}

/// Unmaps `count` pages from `page` on, all of which are mapped, and frees their frames.
///
/// # Safety
/// Nobody uses what is in them.
pub unsafe fn unmap(page: usize, count: usize) {
    let entries = || (0..count).filter_map(|index| entry(page + index * FRAME_SIZE, 0, || None));
    entries().for_each(|entry| {
        entry.fetch_and(!VALID, Ordering::Relaxed);
    });
    // Every core keeps translations in its TLB, and none looks at the tables while it has one there. The frames are about to be someone
    // else's, and the pages may get others: so all cores forget these pages first.
    arch::is_gone(page, count);
    entries().for_each(|entry| {
        let frame = NonNull::new(with_exposed_provenance_mut(arch::target(entry.swap(0, Ordering::Relaxed))));
        // SAFETY: it was mapped here and nowhere else, and no TLB knows it any more.
        unsafe { frames::free(frame.expect("the page was mapped")) };
    });
}

/// Whether there is a page of the heap at `address`. A core may have kept in mind that there was none: then it faults, and has to be told.
#[allow(dead_code, reason = "x86-64 keeps nothing in mind that was not there")]
pub fn is_mapped(address: usize) -> bool {
    WINDOW.contains(&address) && entry(address, 0, || None).is_some_and(|entry| entry.load(Ordering::Acquire) & VALID != 0)
}

/// How many frames are page tables. They stay.
pub fn tables() -> usize {
    TABLES.load(Ordering::Relaxed)
}

/// The entry of a page of 4 KiB (`level` 0), or of a block of 1 GiB (2). The tables that lead there are made of what `frame` gives.
fn entry(address: usize, level: usize, frame: impl Fn() -> Option<NonNull<u8>>) -> Option<&'static AtomicU64> {
    let index = |level: usize| address >> (12 + 9 * level) & 511;
    let mut table = &ROOT;
    for level in (level + 1..arch::LEVELS).rev() {
        let entry = &table.0[index(level)];
        let mut value = entry.load(Ordering::Acquire);
        if value == 0 {
            value = add_table(entry, frame()?);
        }
        // SAFETY: tables stay, and have the layout of `Table`. Acquire pairs with `add_table`: it is seen as zero at first.
        table = unsafe { &*with_exposed_provenance::<Table>(arch::target(value)) };
    }
    Some(&table.0[index(level)])
}

/// Enters a new table, a frame of zeros, unless another core, or an interrupt, was first. Returns the entry.
fn add_table(entry: &AtomicU64, frame: NonNull<u8>) -> u64 {
    let value = arch::table(frame.as_ptr().expose_provenance());
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
