//! Parcels in this program's heap, freed with their layouts or without.

use std::alloc::{GlobalAlloc, Layout};

use coreheap_tests::parcel::{self, Home};

use crate::HEAP;

pub type Parcel = parcel::Parcel<Here>;
pub type Exchange<const N: usize> = parcel::Exchange<Here, N>;

pub struct Here;

// SAFETY: the heap is a `GlobalAlloc`.
unsafe impl Home for Here {
    fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: parcels are not empty.
        unsafe { HEAP.alloc(layout) }
    }

    unsafe fn dealloc(block: *mut u8, layout: Layout, seed: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            if seed.is_multiple_of(2) {
                HEAP.deallocate_unsized(block);
            } else {
                HEAP.dealloc(block, layout);
            }
        }
    }
}
