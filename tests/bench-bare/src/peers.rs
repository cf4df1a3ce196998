//! [`Peer`]: an allocator that is given one region; and the adapters that make every allocator one.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::hint::black_box;
use core::ptr::{NonNull, null_mut};

use buddy_system_allocator::Heap as BuddyHeap;
#[cfg(target_has_atomic = "ptr")]
use coreheap_bare::AddedRegions;
use coreheap_bare::{Coreheap, ExclusiveHeap};
use embedded_alloc::{LlffHeap, TlsfHeap};
use rlsf::Tlsf;
use talc::TalcCell;
use talc::source::Manual;

/// The memory that an allocator gets.
pub type Region = NonNull<[u8]>;

/// An allocator that is made as a static, and given a region before its first use.
pub trait Peer: GlobalAlloc {
    /// Without memory.
    #[allow(clippy::declare_interior_mutable_const)] // Only ever moved into a static.
    const NEW: Self;

    /// Hands over the region; false if it can do nothing with it.
    ///
    /// # Safety
    /// The region is nobody else's for good; this is the first call.
    unsafe fn take(&'static self, region: Region) -> bool;
}

// Those of coreheap that have their bytes inside need no region.
impl<const BYTES: usize> Peer for Coreheap<BYTES> {
    const NEW: Self = Coreheap::new();

    unsafe fn take(&'static self, _: Region) -> bool {
        true
    }
}

impl<const BYTES: usize> Peer for ExclusiveHeap<BYTES> {
    // SAFETY: programs of this package have one context, or guards.
    const NEW: Self = unsafe { ExclusiveHeap::new() };

    unsafe fn take(&'static self, _: Region) -> bool {
        true
    }
}

/// coreheap with magazines for each of four cores.
#[cfg(target_has_atomic = "ptr")]
pub type ManyCores<C> = coreheap_bare::CoresHeap<AddedRegions<1>, C, 4, coreheap_bare::coreheap::Server>;

#[cfg(target_has_atomic = "ptr")]
impl<C: coreheap_bare::CoreNumber> Peer for ManyCores<C> {
    const NEW: Self = ManyCores::new(AddedRegions::new(), coreheap_bare::Pinned::new());

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.source().add(region.as_ptr().cast(), region.len()) }
    }
}

impl Peer for LlffHeap {
    const NEW: Self = LlffHeap::empty();

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.init(region.addr().get(), region.len()) };
        true
    }
}

impl Peer for TlsfHeap {
    const NEW: Self = TlsfHeap::empty();

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.init(region.addr().get(), region.len()) };
        true
    }
}

/// talc without its lock.
pub type Talc = TalcCell<Manual>;

impl Peer for Talc {
    const NEW: Self = TalcCell::new(Manual);

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.claim(region.as_ptr().cast(), region.len()) }.is_some()
    }
}

#[cfg(all(target_os = "none", target_has_atomic = "ptr", target_pointer_width = "32"))]
impl Peer for rusty_alloc_api::RustyAlloc {
    const NEW: Self = rusty_alloc_api::RustyAlloc;

    unsafe fn take(&'static self, mut region: Region) -> bool {
        // SAFETY: the caller's promise.
        rusty_alloc::prim::fixed::init_region(unsafe { region.as_mut() }).is_ok()
    }
}

/// Refuses every request, which the compiler does not know.
pub struct Nothing;

// SAFETY: there are no blocks.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        black_box(null_mut())
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        black_box(block);
    }

    unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        black_box(null_mut())
    }
}

impl Peer for Nothing {
    const NEW: Self = Nothing;

    unsafe fn take(&'static self, _: Region) -> bool {
        true
    }
}

/// An allocator whose functions want it for themselves. Only one context may call at a time.
pub struct Alone<T>(UnsafeCell<T>);

impl<T> Alone<T> {
    const fn new(allocator: T) -> Self {
        Alone(UnsafeCell::new(allocator))
    }

    /// # Safety
    /// No other call is under way.
    #[allow(clippy::mut_from_ref)] // That is what the type is for.
    unsafe fn get(&self) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0.get() }
    }
}

/// The list of free blocks, without a lock.
pub type LinkedList = Alone<linked_list_allocator::Heap>;

impl Peer for LinkedList {
    const NEW: Self = Alone::new(linked_list_allocator::Heap::empty());

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.get().init(region.as_ptr().cast(), region.len()) };
        true
    }
}

// SAFETY: the allocator's.
unsafe impl GlobalAlloc for LinkedList {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `Alone`.
        unsafe { self.get() }.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `Alone`; the block is live.
        unsafe { self.get().deallocate(NonNull::new_unchecked(block), layout) };
    }
}

/// Powers of two, up to 8 MiB.
pub type Buddy = Alone<BuddyHeap<24>>;

impl Peer for Buddy {
    const NEW: Self = Alone::new(BuddyHeap::empty());

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.get().init(region.addr().get(), region.len()) };
        true
    }
}

// SAFETY: the allocator's.
unsafe impl GlobalAlloc for Buddy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `Alone`.
        unsafe { self.get() }.alloc(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `Alone`; the block is live.
        unsafe { self.get().dealloc(NonNull::new_unchecked(block), layout) };
    }
}

/// Two levels of lists, the second of 16, for blocks up to 256 KiB on 32-bit targets.
pub type Rlsf = Alone<Tlsf<'static, u16, u16, 14, 16>>;

impl Peer for Rlsf {
    const NEW: Self = Alone::new(Tlsf::new());

    unsafe fn take(&'static self, region: Region) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.get().insert_free_block_ptr(region) }.is_some()
    }
}

// SAFETY: the allocator's.
unsafe impl GlobalAlloc for Rlsf {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `Alone`.
        unsafe { self.get() }.allocate(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: see `Alone`; the block is live.
        unsafe { self.get().deallocate(NonNull::new_unchecked(block), layout.align()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: see `Alone`; the block is live, and the caller promises a size that makes a layout.
        let moved = unsafe {
            let layout = Layout::from_size_align_unchecked(new_size, layout.align());
            self.get().reallocate(NonNull::new_unchecked(block), layout)
        };
        moved.map_or(null_mut(), NonNull::as_ptr)
    }
}

#[cfg(not(target_arch = "arm"))]
pub use pico::Pico;

#[cfg(not(target_arch = "arm"))]
mod pico {
    use super::*;
    use picoalloc::{Allocator, Env, Size};

    /// picoalloc, whose unit is 32 bytes.
    pub type Pico = Alone<Allocator<OneRegion>>;

    /// A region of any size.
    pub struct OneRegion(Option<Region>);

    // SAFETY: it is its allocator's.
    unsafe impl Sync for OneRegion {}

    impl Env for OneRegion {
        fn total_space(&self) -> Size {
            Size::from_bytes_usize(self.0.map_or(0, |region| region.len())).expect("regions have less than 4 GiB")
        }

        unsafe fn allocate_address_space(&mut self) -> *mut u8 {
            self.0.map_or(null_mut(), |region| region.as_ptr().cast())
        }

        unsafe fn expand_memory_until(&mut self, _: *mut u8, size: Size) -> bool {
            size <= self.total_space()
        }

        unsafe fn free_address_space(&mut self, _: *mut u8) {}
    }

    impl Peer for Pico {
        const NEW: Self = Alone::new(Allocator::new(OneRegion(None)));

        unsafe fn take(&'static self, region: Region) -> bool {
            // SAFETY: see `Alone`.
            *unsafe { self.get() } = Allocator::new(OneRegion(Some(region)));
            true
        }
    }

    fn size(bytes: usize) -> Size {
        Size::from_bytes_usize(bytes).expect("a layout has at most 2 GiB")
    }

    // SAFETY: the allocator's.
    unsafe impl GlobalAlloc for Pico {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: see `Alone`.
            unsafe { self.get() }.alloc(size(layout.align()), size(layout.size())).map_or(null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
            // SAFETY: see `Alone`; the block is live.
            unsafe { self.get().free(NonNull::new_unchecked(block)) };
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: see `Alone`; the block is live.
            let moved = unsafe { self.get().realloc(NonNull::new_unchecked(block), size(layout.align()), size(new_size)) };
            moved.map_or(null_mut(), NonNull::as_ptr)
        }
    }
}
