//! Blocks that know what must be in them, for passing around between workers.

use core::alloc::{GlobalAlloc, Layout};

use crate::HEAP;

/// What a block begins with.
#[repr(C)]
struct Label {
    size: usize,
    seed: u32,
}

/// An owned block, filled with bytes that follow from its label.
pub struct Parcel(*mut u8);

/// Numbers that look random (xorshift).
pub struct Random(u64);

impl Random {
    /// Different numbers for each `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
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
    /// A block of a random size: mostly small, sometimes large.
    pub fn random(random: &mut Random) -> Self {
        let size = match random.below(1000) {
            0 => 8192 + random.below(100 * 1024),
            1..20 => 1024 + random.below(8 * 1024),
            _ => 16 + random.below(256),
        };
        let seed = random.below(1 << 31) as u32;
        // SAFETY: room for the label; the rest is filled as far as it goes.
        unsafe {
            let block = HEAP.alloc(Self::layout(size));
            assert!(!block.is_null() && block.addr().is_multiple_of(align_of::<Label>()));
            block.cast::<Label>().write(Label { size, seed });
            Self::checked_offsets(size).for_each(|offset| block.add(offset).write(Self::byte(seed, offset)));
            Parcel(block)
        }
    }

    pub fn into_raw(self) -> *mut u8 {
        self.0
    }

    /// # Safety
    /// From [`into_raw`](Self::into_raw), once.
    pub unsafe fn from_raw(block: *mut u8) -> Self {
        Parcel(block)
    }

    /// Checks that nobody else wrote into the block, and frees it.
    pub fn check_and_free(self) {
        // SAFETY: this parcel's own block; it is gone after.
        unsafe {
            let Label { size, seed } = self.0.cast::<Label>().read();
            assert!(size >= size_of::<Label>() && size < 1 << 20, "the label was overwritten");
            for offset in Self::checked_offsets(size) {
                assert!(self.0.add(offset).read() == Self::byte(seed, offset), "the contents were overwritten");
            }
            // Who gets the block next must not find it in order.
            self.0.cast::<Label>().write(Label { size: 0, seed: 0 });
            HEAP.dealloc(self.0, Self::layout(size));
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, align_of::<Label>()).unwrap()
    }

    /// All of a small block; of a big one every 61st byte.
    fn checked_offsets(size: usize) -> impl Iterator<Item = usize> {
        (size_of::<Label>()..size).step_by(if size < 512 { 1 } else { 61 })
    }

    fn byte(seed: u32, offset: usize) -> u8 {
        (seed as u8).wrapping_add(offset as u8).wrapping_mul(167)
    }
}
