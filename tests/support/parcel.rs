//! Blocks that know what must be in them, for passing around between contexts.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::null_mut;

use coreheap::port::sync::{AtomicPtr, Ordering};

use crate::rng::Rng;

/// The heap that parcels are blocks of.
///
/// # Safety
/// [`alloc`](Self::alloc) and [`dealloc`](Self::dealloc) are those of a `GlobalAlloc`.
pub unsafe trait Home {
    /// A block of this layout.
    fn alloc(layout: Layout) -> *mut u8;

    /// Frees a block; `seed`, a random number, may choose how.
    ///
    /// # Safety
    /// The block came from `alloc` with this layout, and is not used any more.
    unsafe fn dealloc(block: *mut u8, layout: Layout, seed: u64);
}

/// What a block begins with.
#[repr(C)]
struct Label {
    size: usize,
    align: usize,
    seed: u64,
}

/// An owned block, filled with bytes that follow from its label.
pub struct Parcel<H>(*mut u8, PhantomData<H>);

// SAFETY: an owned block.
unsafe impl<H> Send for Parcel<H> {}

impl<H: Home> Parcel<H> {
    /// A block of a random size: mostly small, sometimes large, at a random alignment.
    pub fn random(rng: &mut Rng) -> Self {
        let size = match rng.below(1000) {
            0 => 32 * 1024 + rng.below(200 * 1024),
            1..20 => 2048 + rng.below(30 * 1024),
            20..200 => 256 + rng.below(2048),
            _ => size_of::<Label>() + rng.below(256),
        };
        let align = if rng.below(8) == 0 { 8 << rng.below(6) } else { 8 };
        Self::new(size, align, rng.draw())
    }

    /// A block of `size` bytes, at least a label's, at `align`, 8 or more.
    pub fn new(size: usize, align: usize, seed: u64) -> Self {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        let block = H::alloc(layout);
        assert!(!block.is_null() && block.addr().is_multiple_of(align), "{layout:?} at {block:?}");
        // SAFETY: room for the label; the rest is filled as far as it goes.
        unsafe {
            block.cast::<Label>().write(Label { size, align, seed });
            checked_offsets(size).for_each(|offset| block.add(offset).write(byte(seed, offset)));
        }
        Parcel(block, PhantomData)
    }

    /// Checks that nobody else wrote into the block, and frees it.
    pub fn check_and_free(self) {
        self.check();
        // SAFETY: this parcel's own block; it is gone after.
        unsafe {
            let Label { size, align, seed } = self.0.cast::<Label>().read();
            // Who gets the block next must not find it in order.
            self.0.cast::<Label>().write(Label { size: 0, align: 0, seed: 0 });
            H::dealloc(self.0, Layout::from_size_align_unchecked(size, align), seed);
        }
    }

    /// Checks that nobody else wrote into the block.
    pub fn check(&self) {
        // SAFETY: this parcel's own block.
        unsafe {
            let Label { size, align, seed } = self.0.cast::<Label>().read();
            assert!(size >= size_of::<Label>() && align.is_power_of_two() && size < 1 << 20, "the label of {:?}: {size}", self.0);
            for offset in checked_offsets(size) {
                assert_eq!(self.0.add(offset).read(), byte(seed, offset), "{:?}, {size} bytes, at {offset}", self.0);
            }
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

/// Where contexts leave parcels for each other.
pub struct Exchange<H, const N: usize>([AtomicPtr<u8>; N], PhantomData<fn() -> H>);

impl<H: Home, const N: usize> Exchange<H, N> {
    /// No parcel anywhere.
    #[expect(clippy::new_without_default, reason = "made in statics")]
    pub const fn new() -> Self {
        Exchange([const { AtomicPtr::new(null_mut()) }; N], PhantomData)
    }

    fn swap_at(&self, place: usize, parcel: Option<Parcel<H>>) -> Option<Parcel<H>> {
        let block = parcel.map_or(null_mut(), |parcel| parcel.0);
        let found = self.0[place].swap(block, Ordering::AcqRel);
        (!found.is_null()).then_some(Parcel(found, PhantomData))
    }

    /// Leaves a parcel at a random place and takes what was there.
    pub fn swap(&self, rng: &mut Rng, parcel: Option<Parcel<H>>) -> Option<Parcel<H>> {
        self.swap_at(rng.below(N), parcel)
    }

    /// `operations` times: a new parcel in, an old one out, checked and freed. Returns how many were found.
    pub fn work(&self, rng: &mut Rng, operations: usize) -> usize {
        (0..operations)
            .filter_map(|_| {
                let parcel = Parcel::random(rng);
                self.swap(rng, Some(parcel))
            })
            .map(Parcel::check_and_free)
            .count()
    }

    /// Checks and frees all that is left; returns how many.
    pub fn empty(&self) -> usize {
        (0..N).filter_map(|place| self.swap_at(place, None)).map(Parcel::check_and_free).count()
    }
}
