//! The shadow model: every live block's bytes, and what must be true of them.
//!
//! It knows nothing of how the subject works. A block that is handed out must be aligned, lie in memory that the source gave,
//! overlap no live block, and be as usable as it says; its bytes are then filled with a pattern of its own (to the end of what
//! is usable) that must still be there when it is freed or reallocated.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

/// Blocks up to this size are filled and compared in full, bigger ones in part: at both ends and here and there.
const FULL: usize = 2048;
/// How many parts in the middle of a bigger block.
const PARTS: usize = if cfg!(miri) { 4 } else { 64 };
/// Bytes in such a part.
const PART: usize = 8;

/// After how many bytes the pattern comes again: no number of bytes that a block could be off by.
const PERIOD: usize = 251;
/// What blocks are filled with, each from a place of its own on.
static PATTERN: [u8; PERIOD + FULL] = {
    let (mut bytes, mut at) = ([0; PERIOD + FULL], 0);
    while at < bytes.len() {
        bytes[at] = (at % PERIOD) as u8 ^ 0x5a;
        at += 1;
    }
    bytes
};
static ZEROES: [u8; FULL] = [0; FULL];

/// A live block.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Its first byte.
    pub block: NonNull<u8>,
    /// What it was allocated or reallocated with.
    pub layout: Layout,
    /// How many bytes of it may be used.
    pub usable: usize,
    seed: u8,
}

/// All live blocks.
#[derive(Debug, Default)]
pub struct Shadow {
    /// First byte of each block -> last byte (a block may end at the end of the address space).
    ranges: BTreeMap<usize, usize>,
    live: Vec<Live>,
    seed: u8,
}

impl Shadow {
    /// How many blocks are live.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether no block is live.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The live block at this position, taken modulo their number.
    pub fn get(&self, which: usize) -> Option<Live> {
        self.live.get(which.checked_rem(self.live.len())?).copied()
    }

    /// Notes a block that was handed out for `layout` with `usable` bytes, and fills it.
    pub fn allocated(&mut self, block: NonNull<u8>, layout: Layout, usable: usize, zeroed: bool) {
        self.check_place(block, layout, usable);
        if zeroed {
            for part in parts(layout.size()) {
                // SAFETY: inside the block, which the subject says is initialised to zero.
                let bytes = unsafe { bytes(block, part.clone()) };
                assert!(*bytes == ZEROES[..part.len()], "bytes {part:?} of {layout:?} at {block:?} are not zero");
            }
        }
        self.insert(block, layout, usable);
    }

    /// Checks the contents of the block at this position (as for [`get`](Self::get)) and forgets it.
    pub fn take(&mut self, which: usize) -> Option<Live> {
        let live = self.live.swap_remove(which.checked_rem(self.live.len())?);
        live.check(live.usable);
        self.ranges.remove(&live.block.addr().get());
        Some(live)
    }

    /// Notes what became of a block that [`take`](Self::take) gave and that was then reallocated to `new_size` bytes.
    pub fn reallocated(&mut self, old: Live, block: NonNull<u8>, new_size: usize, usable: usize) {
        let layout = Layout::from_size_align(new_size, old.layout.align()).expect("the size was reallocated to");
        self.check_place(block, layout, usable);
        Live { block, ..old }.check(new_size.min(old.layout.size()));
        self.insert(block, layout, usable);
    }

    /// Puts a block back that [`take`](Self::take) gave and whose reallocation was refused.
    pub fn put_back(&mut self, old: Live) {
        old.check(old.usable);
        self.ranges.insert(old.block.addr().get(), old.block.addr().get() + (old.usable - 1));
        self.live.push(old);
    }

    fn check_place(&self, block: NonNull<u8>, layout: Layout, usable: usize) {
        let start = block.addr().get();
        assert_eq!(start % layout.align(), 0, "{layout:?} at {block:?} is not aligned");
        assert!(usable >= layout.size().max(1), "{layout:?} at {block:?} has only {usable} usable bytes");
        let last = start.checked_add(usable - 1).expect("a block wraps around the end of the address space");
        if let Some((other, end)) = self.ranges.range(..=last).next_back() {
            assert!(*end < start, "{start:#x}..={last:#x} overlaps the live block {other:#x}..={end:#x}");
        }
    }

    fn insert(&mut self, block: NonNull<u8>, layout: Layout, usable: usize) {
        self.seed = self.seed.wrapping_mul(5).wrapping_add(17);
        let live = Live { block, layout, usable, seed: self.seed };
        live.fill();
        self.ranges.insert(block.addr().get(), block.addr().get() + (usable - 1));
        self.live.push(live);
    }
}

impl Live {
    fn fill(&self) {
        for part in parts(self.usable) {
            let pattern = self.pattern(&part);
            // SAFETY: inside the block's usable bytes, which are the test's.
            unsafe { self.block.add(part.start).copy_from_nonoverlapping(NonNull::from(pattern).cast(), pattern.len()) };
        }
    }

    /// Checks the bytes below `end` that [`fill`](Self::fill) wrote.
    fn check(&self, end: usize) {
        for part in parts(self.usable).map(|part| part.start..part.end.min(end)).take_while(|part| part.start < end) {
            // SAFETY: inside the block; `fill` wrote these bytes.
            let bytes = unsafe { bytes(self.block, part.clone()) };
            let pattern = self.pattern(&part);
            assert!(*bytes == *pattern, "bytes {part:?} of {:?} at {:?} were overwritten", self.layout, self.block);
        }
    }

    fn pattern(&self, part: &Range<usize>) -> &'static [u8] {
        let from = (part.start + self.seed as usize) % PERIOD;
        &PATTERN[from..from + part.len()]
    }
}

/// Some bytes of a block.
///
/// # Safety
/// They are written, and nobody writes them meanwhile.
unsafe fn bytes<'a>(block: NonNull<u8>, part: Range<usize>) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(block.add(part.start).as_ptr(), part.len()) }
}

/// The parts of `size` bytes that are filled and compared, in order.
fn parts(size: usize) -> impl Iterator<Item = Range<usize>> {
    let (head, tail) = if size <= FULL { (size, 0) } else { (FULL / 2, FULL / 2) };
    let gap = size - head - tail;
    let middle = (0..PARTS).map(move |index| head + gap / PARTS * index).map(|at| at..at + PART);
    let middle = middle.take(if gap >= PARTS * PART { PARTS } else { 0 });
    core::iter::once(0..head).chain(middle).chain(core::iter::once(size - tail..size))
}
