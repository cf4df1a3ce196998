//! Blocks that know what must be in them, for passing around between contexts.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::HEAP;

/// What a block begins with.
#[repr(C)]
struct Label {
    size: usize,
    align: usize,
    seed: u64,
}

/// An owned block, filled with bytes that follow from its label.
pub struct Parcel(*mut u8);

// SAFETY: an owned block.
unsafe impl Send for Parcel {}

/// Numbers that look random (xorshift).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// Different numbers for each `seed`.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(2);
        random
    }

    /// The next number, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

impl Parcel {
    /// A block of a random size: mostly small, sometimes large, at a random alignment.
    pub fn random(random: &mut Random) -> Self {
        let size = match random.below(1000) {
            0 => 32 * 1024 + random.below(200 * 1024),
            1..20 => 2048 + random.below(30 * 1024),
            20..200 => 256 + random.below(2048),
            _ => 24 + random.below(256),
        };
        let align = if random.below(8) == 0 { 8 << random.below(6) } else { 8 };
        Self::new(size, align, random.below(usize::MAX) as u64)
    }

    /// A block of `size` bytes, at least a label's, at `align`.
    pub fn new(size: usize, align: usize, seed: u64) -> Self {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: room for the label; the rest is filled as far as it goes.
        unsafe {
            let block = HEAP.alloc(layout);
            assert!(!block.is_null() && block.addr().is_multiple_of(align), "{layout:?} at {block:?}");
            block.cast::<Label>().write(Label { size, align, seed });
            Self::checked_offsets(size).for_each(|offset| block.add(offset).write(Self::byte(seed, offset)));
            Parcel(block)
        }
    }

    /// Checks that nobody else wrote into the block, and frees it: with its layout or without.
    pub fn check_and_free(self) {
        self.check();
        // SAFETY: this parcel's own block; it is gone after.
        unsafe {
            let Label { size, align, seed } = self.0.cast::<Label>().read();
            // Who gets the block next must not find it in order.
            self.0.cast::<Label>().write(Label { size: 0, align: 0, seed: 0 });
            if seed % 2 == 0 {
                HEAP.deallocate_unsized(self.0);
            } else {
                HEAP.dealloc(self.0, Layout::from_size_align_unchecked(size, align));
            }
        }
    }

    /// Checks that nobody else wrote into the block.
    pub fn check(&self) {
        // SAFETY: this parcel's own block.
        unsafe {
            let Label { size, align, seed } = self.0.cast::<Label>().read();
            assert!(size >= size_of::<Label>() && align.is_power_of_two() && size < 1 << 20, "the label of {:?}: {size}", self.0);
            for offset in Self::checked_offsets(size) {
                assert_eq!(self.0.add(offset).read(), Self::byte(seed, offset), "{:?}, {size} bytes, at {offset}", self.0);
            }
        }
    }

    /// All of a small block; of a big one every 61st byte, and the last.
    fn checked_offsets(size: usize) -> impl Iterator<Item = usize> {
        let step = if size < 512 { 1 } else { 61 };
        (size_of::<Label>()..size).step_by(step).chain(size.checked_sub(1).filter(|last| *last >= size_of::<Label>() && step > 1))
    }

    fn byte(seed: u64, offset: usize) -> u8 {
        (seed as u8).wrapping_add(offset as u8).wrapping_mul(167)
    }
}

/// Where contexts leave parcels for each other.
pub struct Exchange<const N: usize>([AtomicPtr<u8>; N]);

impl<const N: usize> Exchange<N> {
    pub const fn new() -> Self {
        Exchange([const { AtomicPtr::new(std::ptr::null_mut()) }; N])
    }

    /// Leaves a parcel at a random place and takes what was there.
    pub fn swap(&self, random: &mut Random, parcel: Option<Parcel>) -> Option<Parcel> {
        let block = parcel.map_or(std::ptr::null_mut(), |parcel| parcel.0);
        let found = self.0[random.below(N)].swap(block, Ordering::AcqRel);
        (!found.is_null()).then_some(Parcel(found))
    }

    /// `operations` times: a new parcel in, an old one out, checked and freed.
    pub fn work(&self, random: &mut Random, operations: usize) {
        for _ in 0..operations {
            let parcel = Parcel::random(random);
            if let Some(found) = self.swap(random, Some(parcel)) {
                found.check_and_free();
            }
        }
    }

    /// Checks and frees all that is left.
    pub fn empty(&self) {
        for place in &self.0 {
            let found = place.swap(std::ptr::null_mut(), Ordering::AcqRel);
            if !found.is_null() {
                Parcel(found).check_and_free();
            }
        }
    }
}
