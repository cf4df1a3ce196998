//! [`StaticMemory`]: memory inside the heap's own static.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use coreheap::atomic::{AtomicBool, Ordering};
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

/// What goes out once.
#[derive(Debug)]
struct Once {
    is_out: AtomicBool,
    /// Whether a context is about to get it.
    is_asked: AtomicBool,
}

impl Once {
    const fn new() -> Self {
        Once { is_out: AtomicBool::new(false), is_asked: AtomicBool::new(false) }
    }

    /// Whether nobody came before. On a target that has loads and stores only, heaps are for contexts of one core that nest.
    fn is_first(&self) -> bool {
        if cfg!(any(target_has_atomic = "ptr", feature = "critical-section")) {
            !self.is_out.swap(true, Ordering::Relaxed)
        } else {
            self.is_first_of_nested(|| ())
        }
    }

    /// The same by loads and stores, between which interrupts may come. One that comes when the question is half answered gets nothing.
    fn is_first_of_nested(&self, interrupt: impl Fn()) -> bool {
        if self.is_asked.load(Ordering::Relaxed) {
            return false;
        }
        interrupt();
        self.is_asked.store(true, Ordering::Relaxed);
        interrupt();
        let is_out = self.is_out.load(Ordering::Relaxed);
        interrupt();
        self.is_out.store(true, Ordering::Relaxed);
        interrupt();
        self.is_asked.store(false, Ordering::Relaxed);
        !is_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn one_of_nested_contexts_is_the_first() {
        for moment in 1..=4 {
            let (once, moments, firsts) = (Once::new(), Cell::new(0), Cell::new(0));
            let count = |is_first: bool| firsts.set(firsts.get() + usize::from(is_first));
            count(once.is_first_of_nested(|| {
                moments.set(moments.get() + 1);
                if moments.get() == moment {
                    count(once.is_first_of_nested(|| ()));
                }
            }));
            assert_eq!((firsts.get(), moments.get()), (1, 4), "an interrupt at moment {moment}");
            assert!(!once.is_first_of_nested(|| ()), "and nobody after them");
        }
    }
}
