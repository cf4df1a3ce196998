//! Size classes: which block size serves a request.
//!
//! *Role*: pure arithmetic, used by everybody above; imports nothing.
//!
//! *Invariants*
//! - S1: classes grow with their index; [`SizeClass::block_size`] of class 0 is [`GRANULE`].
//! - S2: above 64 bytes at most 1/8 of a block is waste: eight classes to each doubling.
//! - S3: the step between neighbouring classes is a power of two that divides both, so rounding a size up to its alignment
//!   first makes the alignment divide the block size: a block at a multiple of its size is aligned by nature (48 bytes
//!   at 16 is a block of 48).
//! - S4: every size from the requested to the block size, at the same alignment, has the same class. So a free that knows
//!   the `Layout` knows the class, whichever of these sizes its owner uses.
//! - S5: a block may [stand in](SizeClass::stands_in_for) for one of a smaller class that is aligned no better, if little of it is waste then.

#![deny(unsafe_code)]

use core::num::{NonZeroU8, NonZeroUsize};

/// Smallest block size, and the step between the smallest classes, in bytes.
pub const GRANULE: usize = 8;

/// No block stands in for one smaller than this: it is copied in a moment.
const LEAST_STAND_IN: usize = 1024;

/// Classes to each doubling of the size.
const STEPS: usize = 8;
const STEPS_LOG2: usize = STEPS.trailing_zeros() as usize;

/// Sizes up to this many granules are looked up, bigger ones are computed.
const TABLE_MAX: usize = 128;

/// The class for so many granules. None are never asked for.
static TABLE: [NonZeroU8; TABLE_MAX + 1] = {
    let mut table = [NonZeroU8::MIN; TABLE_MAX + 1];
    let mut granules = 1;
    while granules < table.len() {
        table[granules] = SizeClass::from_index(compute_index(granules)).number_in_byte();
        granules += 1;
    }
    table
};

/// Number of a block size: 1 is 8 bytes, 16 is 128, then eight to each doubling. 0 is none, so that who reads a number where there may be none
/// reads an `Option` of a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SizeClass(NonZeroUsize);

impl SizeClass {
    /// The class for `size` bytes at alignment `align` (a power of two), or `None` when that needs a block of more than
    /// `max_block` bytes, which is at most 1 TiB: a large block then. `size + align` must not overflow, which every `Layout` promises.
    #[inline(always)]
    pub const fn of(size: usize, align: usize, max_block: usize) -> Option<SizeClass> {
        let below = (align - 1) | (GRANULE - 1);
        // Size 0 as well gets a block of its own, aligned as it asks: the smallest there is, or one of its alignment.
        let size = size + (size == 0) as usize;
        let granules = ((size + below) & !below) / GRANULE;
        let most = max_block / GRANULE;
        if granules <= if most < TABLE_MAX { most } else { TABLE_MAX } {
            Some(Self::from_byte(TABLE[granules]))
        } else if granules <= most {
            Some(Self::at(compute_index_above(granules)))
        } else {
            None
        }
    }

    /// The class with this index.
    #[inline]
    pub const fn from_index(index: usize) -> SizeClass {
        assert!(index < 255, "there are at most 255 classes");
        Self::at(index)
    }

    #[inline(always)]
    const fn at(index: usize) -> SizeClass {
        debug_assert!(index < 255, "there are at most 255 classes");
        // As a short number, which plus 1 cannot be 0.
        SizeClass(NonZeroUsize::MIN.saturating_add(index as u8 as usize))
    }

    /// The class with this number; none for 0.
    #[inline(always)]
    pub const fn from_number(number: usize) -> Option<SizeClass> {
        match NonZeroUsize::new(number) {
            Some(number) => Some(SizeClass(number)),
            None => None,
        }
    }

    /// The class with this number.
    #[inline(always)]
    pub const fn from_byte(number: NonZeroU8) -> SizeClass {
        SizeClass(NonZeroUsize::MIN.saturating_add(number.get() as usize - 1))
    }

    /// The number, of which there are at most 255.
    pub const fn number_in_byte(self) -> NonZeroU8 {
        NonZeroU8::MIN.saturating_add(self.index() as u8)
    }

    /// Position among the classes, from 1.
    #[inline(always)]
    pub const fn number(self) -> usize {
        self.0.get()
    }

    /// Position among the classes, from 0.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0.get() - 1
    }

    /// Bytes in a block of this class.
    #[inline]
    pub const fn block_size(self) -> usize {
        let index = self.index();
        if index < 2 * STEPS { (index + 1) * GRANULE } else { ((index % STEPS + STEPS + 1) << (index / STEPS - 1)) * GRANULE }
    }

    /// Whether blocks of this class can be used, freed and allocated again as blocks of `class`: if that is their class; or, from
    /// 1 KiB on, if they are less than half as big again. Spares a copy where a block shrinks a little.
    pub const fn stands_in_for(self, class: SizeClass) -> bool {
        let (own, size) = (self.block_size(), class.block_size());
        let is_near = size >= LEAST_STAND_IN && size < own && own < size + size / 2;
        self.0.get() == class.0.get() || is_near && own.trailing_zeros() >= size.trailing_zeros()
    }

    /// How many classes there are when the biggest block has `max_block` bytes.
    pub const fn count(max_block: usize) -> usize {
        compute_index(max_block / GRANULE) + 1
    }
}

/// Index of the class for `granules`, at least 1.
const fn compute_index(granules: usize) -> usize {
    if granules <= STEPS { granules - 1 } else { compute_index_above(granules) }
}

/// The same for more than [`STEPS`].
const fn compute_index_above(granules: usize) -> usize {
    let last = granules - 1;
    // The lowest bit, which changes nothing, says that it is not 0.
    let doubling = (last | 1).ilog2() as usize - STEPS_LOG2;
    doubling * STEPS + (last >> doubling)
}

#[cfg(test)]
mod tests;
