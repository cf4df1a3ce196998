//! [`StaticMemory`]: memory inside the heap's own static.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use coreheap::port::Once;
use coreheap::{PageSource, Region, RegionRequest};

/// `BYTES` bytes, all zero at first: they lie in `.bss` and take no room in flash.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct StaticMemory<const BYTES: usize> {
    bytes: UnsafeCell<MaybeUninit<[u8; BYTES]>>,
    once: Once,
}

// SAFETY: the bytes are handed out once, to the heap.
unsafe impl<const BYTES: usize> Sync for StaticMemory<BYTES> {}

impl<const BYTES: usize> StaticMemory<BYTES> {
    pub(crate) const fn new() -> Self {
        StaticMemory { bytes: UnsafeCell::new(MaybeUninit::zeroed()), once: Once::new() }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }
}

// SAFETY: the region is this value's own memory, which stays where it is, as heaps over it are used in statics only. It goes out once.
unsafe impl<const BYTES: usize> PageSource for StaticMemory<BYTES> {
    const FRESH_IS_ZERO: bool = true;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if BYTES >= request.min_size && self.once.is_first() { self.first_region(request.min_size) } else { None }
    }

    fn first_region(&self, min_size: usize) -> Option<Region> {
        if BYTES < min_size { None } else { Some(Region { start: NonNull::new(self.start())?, size: BYTES }) }
    }

    #[inline(always)]
    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.start().with_addr(address)
    }
}
