//! Cores that allocate boxes and free those of others: each step puts a fresh box into a shared place, and frees the one that was there.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::AcqRel};

use fastrand::Rng;

const PLACES: usize = 1024;

/// Memory of each allocator.
pub const BYTES: usize = 16 << 20;

/// Where boxes lie between cores. Each begins with its size.
pub struct Exchange([AtomicPtr<usize>; PLACES]);

impl Exchange {
    /// No boxes.
    pub const fn new() -> Self {
        Exchange([const { AtomicPtr::new(null_mut()) }; PLACES])
    }

    /// One core's work: pairs of allocate and free, of 16 to 256 bytes, while it goes on, which is asked every 64 pairs. Returns how many.
    pub fn run<A: GlobalAlloc>(&self, allocator: &A, core: usize, goes_on: impl Fn() -> bool) -> usize {
        let mut random = Rng::with_seed(core as u64);
        let mut pairs: usize = 0;
        while !pairs.is_multiple_of(64) || goes_on() {
            pairs += 1;
            let layout = layout(random.usize(16..=256));
            // SAFETY: no size is 0.
            let fresh = unsafe { allocator.alloc(layout) }.cast::<usize>();
            assert!(!fresh.is_null(), "{PLACES} boxes are far less than the region");
            // SAFETY: the box has room for it, and its alignment.
            unsafe { fresh.write(layout.size()) };
            Self::free(allocator, self.0[random.usize(..PLACES)].swap(fresh, AcqRel));
        }
        pairs
    }

    /// Frees the boxes that are left.
    pub fn clear<A: GlobalAlloc>(&self, allocator: &A) {
        self.0.iter().for_each(|place| Self::free(allocator, place.swap(null_mut(), AcqRel)));
    }

    fn free<A: GlobalAlloc>(allocator: &A, old: *mut usize) {
        if !old.is_null() {
            // SAFETY: whoever took it out of its place has it; it begins with its size.
            unsafe { allocator.dealloc(old.cast(), layout(old.read())) };
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<usize>()).expect("sizes are small")
}
