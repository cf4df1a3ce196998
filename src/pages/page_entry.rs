//! What a page table says of one slice: the number of a page header and, where there is room for it, the size class.
//!
//! *Role*: the two widths that a [`Geometry`](crate::Geometry) chooses from. Narrow entries are for heaps of small slices.
//!
//! *Concurrency*: in no order by themselves. They change while their slices are owned; who owns a block there came by it after they were written, by
//! the bits of the slices and of the page. Anybody else, who looks up what may be no block, checks what it finds.

#![deny(unsafe_code)]

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicU16, AtomicU32, Ordering};

/// An entry of a page table, 0 where nothing lies. Made by [`geometry!`](crate::geometry!).
pub trait PageEntry: Send + Sync {
    /// How many bits say the number of a header, counted from 1.
    const ID_BITS: u32;
    /// Whether the bits above say the number of the class; so a free by address need not touch the header.
    const HAS_CLASS: bool;

    /// Reads the entry.
    fn load(&self) -> u32;
    /// Writes the entry.
    fn store(&self, entry: u32);

    /// The number of the header, from 0.
    #[inline(always)]
    fn id(&self) -> Option<usize> {
        (self.load() as usize & ((1 << Self::ID_BITS) - 1)).checked_sub(1)
    }

    /// The class; `None` for a large block, and where nothing lies.
    #[inline(always)]
    fn class(&self) -> Option<SizeClass> {
        if Self::HAS_CLASS { SizeClass::from_number((self.load() >> Self::ID_BITS) as usize) } else { None }
    }

    /// Enters the header with this number, and the class; none for a large block.
    fn enter(&self, id: usize, class: Option<SizeClass>) {
        let class = if Self::HAS_CLASS { class.map_or(0, |class| class.number() as u32) << Self::ID_BITS } else { 0 };
        self.store(class | (id as u32 + 1));
    }
}

/// How many bits an entry has: 16 or 32.
#[derive(Debug)]
pub struct EntryBits<const BITS: usize>;

/// The entry of so many bits.
pub trait HasEntry {
    /// It.
    type Entry: PageEntry;
}

impl HasEntry for EntryBits<32> {
    type Entry = AtomicU32;
}

impl HasEntry for EntryBits<16> {
    type Entry = AtomicU16;
}

impl PageEntry for AtomicU32 {
    const ID_BITS: u32 = 24;
    const HAS_CLASS: bool = true;

    #[inline(always)]
    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    fn store(&self, entry: u32) {
        self.store(entry, Ordering::Relaxed);
    }
}

impl PageEntry for AtomicU16 {
    const ID_BITS: u32 = 16;
    const HAS_CLASS: bool = false;

    #[inline(always)]
    fn load(&self) -> u32 {
        u32::from(self.load(Ordering::Relaxed))
    }

    fn store(&self, entry: u32) {
        self.store(entry as u16, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
