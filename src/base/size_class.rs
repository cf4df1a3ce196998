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

/// Smallest block size, and the step between the smallest classes, in bytes.
pub const GRANULE: usize = 8;

/// No block stands in for one smaller than this: it is copied in a moment.
const LEAST_STAND_IN: usize = 1024;

/// Classes to each doubling of the size.
const STEPS: usize = 8;
const STEPS_LOG2: usize = STEPS.trailing_zeros() as usize;

/// Sizes up to this many granules are looked up, bigger ones are computed.
const TABLE_MAX: usize = 128;

static TABLE: [u8; TABLE_MAX + 1] = {
    let mut table = [0; TABLE_MAX + 1];
    let mut granules = 1;
    while granules < table.len() {
        table[granules] = compute_index(granules) as u8;
        granules += 1;
    }
    table
};

/// Index of a block size: 0 is 8 bytes, 15 is 128, then eight to each doubling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SizeClass(usize);

impl SizeClass {
    /// The class for `size` bytes at alignment `align` (a power of two), or `None` when that needs a block of more than
    /// `max_block` bytes: a large block then. `size + align` must not overflow, which every `Layout` promises.
    #[inline(always)]
    pub const fn of(size: usize, align: usize, max_block: usize) -> Option<SizeClass> {
        let below = (align - 1) | (GRANULE - 1);
        // Size 0 as well gets a block of its own, aligned as it asks: the smallest there is, or one of its alignment.
        let size = if size == 0 && align > GRANULE { 1 } else { size };
        let granules = ((size + below) & !below) / GRANULE;
        if granules <= TABLE_MAX && granules <= max_block / GRANULE {
            Some(SizeClass(TABLE[granules] as usize))
        } else if granules <= max_block / GRANULE {
            Some(SizeClass(compute_index(granules)))
        } else {
            None
        }
    }

    /// The class with this index.
    pub const fn from_index(index: usize) -> SizeClass {
        assert!(index < 256);
        SizeClass(index)
    }

    /// Position among the classes, from 0.
    #[inline]
    pub const fn index(self) -> usize {
        self.0
    }

    /// Bytes in a block of this class.
    #[inline]
    pub const fn block_size(self) -> usize {
        let index = self.0;
        if index < 2 * STEPS { (index + 1) * GRANULE } else { ((index % STEPS + STEPS + 1) << (index / STEPS - 1)) * GRANULE }
    }

    /// Whether blocks of this class can be used, freed and allocated again as blocks of `class`: if that is their class; or, from
    /// 1 KiB on, if they are less than half as big again. Spares a copy where a block shrinks a little.
    pub const fn stands_in_for(self, class: SizeClass) -> bool {
        let (own, size) = (self.block_size(), class.block_size());
        let is_near = size >= LEAST_STAND_IN && size < own && own < size + size / 2;
        self.0 == class.0 || is_near && own.trailing_zeros() >= size.trailing_zeros()
    }

    /// How many classes there are when the biggest block has `max_block` bytes.
    pub const fn count(max_block: usize) -> usize {
        compute_index(max_block / GRANULE) + 1
    }
}

/// Index of the class for `granules`, at least 1.
const fn compute_index(granules: usize) -> usize {
    let last = granules - 1;
    if last < STEPS {
        return last;
    }
    let doubling = last.ilog2() as usize - STEPS_LOG2;
    doubling * STEPS + (last >> doubling)
}

#[cfg(test)]
mod tests;
