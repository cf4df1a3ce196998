//! The standard interfaces: `GlobalAlloc` for a static heap, `Allocator` for a reference to one.
//!
//! *Role*: thin: everything is the heaps' own. The only thing added is that a panic ends the process here: out of `GlobalAlloc` nothing may unwind.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use crate::base::misuse::{no_unwind, no_unwind_in_debug};
use crate::cores::core_local::CoreLocal;
use crate::heap::Heap;
use crate::pages::geometry::Geometry;
use crate::small::{Engine, EngineHeap};
use crate::source::page_source::PageSource;

/// `GlobalAlloc` for a heap.
macro_rules! implement_global_alloc {
    (#[$inline:meta] $no_unwind:ident, [$($parameters:tt)+] $heap:ty) => {
        // SAFETY: a heap hands out blocks that fit the layout, overlap no other, and stay until they are given back.
        unsafe impl<$($parameters)+> GlobalAlloc for $heap {
            #[$inline]
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                $no_unwind(|| self.allocate(layout)).map_or(null_mut(), NonNull::as_ptr)
            }

            #[$inline]
            unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
                // SAFETY: the caller's promise; a block is never at null.
                $no_unwind(|| unsafe { self.deallocate(NonNull::new_unchecked(pointer), layout) });
            }

            #[$inline]
            unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                $no_unwind(|| self.allocate_zeroed(layout)).map_or(null_mut(), NonNull::as_ptr)
            }

            #[$inline]
            unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                // SAFETY: as in `dealloc`; the caller promises that such a layout can be, too.
                let moved = $no_unwind(|| unsafe {
                    let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
                    self.change_layout(NonNull::new_unchecked(pointer), layout, new_layout)
                });
                moved.map_or(null_mut(), NonNull::as_ptr)
            }
        }
    };
}

// Calls, since programs allocate in thousands of places: the way to a magazine in each of them makes a program a tenth longer, and no faster. What may
// panic in a release build is guarded where it is.
implement_global_alloc!(#[inline(never)] no_unwind_in_debug, [S: PageSource, C: CoreLocal, G: Geometry] Heap<S, C, G>);
implement_global_alloc!(#[inline(always)] no_unwind, [S: PageSource, E: Engine<S>] EngineHeap<S, E>);

/// `GlobalAlloc` for a type that holds a heap: `forward_global_alloc!([H: GlobalAlloc] BareHeap<H>, heap);`
#[doc(hidden)] // Shown in `port`.
#[macro_export]
macro_rules! forward_global_alloc {
    ([$($parameters:tt)*] $holder:ty, $field:ident) => {
        // SAFETY: the heap's own.
        unsafe impl<$($parameters)*> ::core::alloc::GlobalAlloc for $holder {
            #[inline(always)]
            unsafe fn alloc(&self, layout: ::core::alloc::Layout) -> *mut u8 {
                // SAFETY: the caller's promise.
                unsafe { ::core::alloc::GlobalAlloc::alloc(&self.$field, layout) }
            }

            #[inline(always)]
            unsafe fn dealloc(&self, pointer: *mut u8, layout: ::core::alloc::Layout) {
                // SAFETY: the caller's promise.
                unsafe { ::core::alloc::GlobalAlloc::dealloc(&self.$field, pointer, layout) }
            }

            #[inline(always)]
            unsafe fn alloc_zeroed(&self, layout: ::core::alloc::Layout) -> *mut u8 {
                // SAFETY: the caller's promise.
                unsafe { ::core::alloc::GlobalAlloc::alloc_zeroed(&self.$field, layout) }
            }

            #[inline(always)]
            unsafe fn realloc(&self, pointer: *mut u8, layout: ::core::alloc::Layout, new_size: usize) -> *mut u8 {
                // SAFETY: the caller's promise.
                unsafe { ::core::alloc::GlobalAlloc::realloc(&self.$field, pointer, layout, new_size) }
            }
        }
    };
}

/// `Allocator` for a reference to a heap, once for each crate or feature that has such a trait.
#[allow(unused_macros)]
macro_rules! implement_allocator {
    ($($path:ident)::+ for [$($parameters:tt)+] $heap:ty) => {
        // SAFETY: as for `GlobalAlloc`; copies of a reference are the same heap. A block has the size that was asked for, so that is what
        // it is freed with.
        unsafe impl<$($parameters)+> $($path)::+::Allocator for &$heap {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                let pointer = <$heap>::allocate(self, layout).ok_or($($path)::+::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(pointer, layout.size()))
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                let pointer = <$heap>::allocate_zeroed(self, layout).ok_or($($path)::+::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(pointer, layout.size()))
            }

            #[inline]
            unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's promise.
                unsafe { <$heap>::deallocate(self, pointer, layout) }
            }

            #[inline]
            unsafe fn grow(
                &self,
                pointer: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller's promise.
                let moved = unsafe { self.change_layout(pointer, old, new) }.ok_or($($path)::+::AllocError)?;
                Ok(NonNull::slice_from_raw_parts(moved, new.size()))
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                pointer: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller's promise; the bytes behind the old size are the new block's.
                unsafe {
                    let moved = self.grow(pointer, old, new)?;
                    moved.cast::<u8>().add(old.size()).write_bytes(0, new.size() - old.size());
                    Ok(moved)
                }
            }

            #[inline]
            unsafe fn shrink(
                &self,
                pointer: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller's promise; a heap changes a layout either way.
                unsafe { self.grow(pointer, old, new) }
            }
        }
    };
}

#[allow(unused_macros)]
macro_rules! implement_for_all_heaps {
    ($($path:ident)::+) => {
        implement_allocator!($($path)::+ for [S: PageSource, C: CoreLocal, G: Geometry] Heap<S, C, G>);
        implement_allocator!($($path)::+ for [S: PageSource, E: Engine<S>] EngineHeap<S, E>);
    };
}

#[cfg(feature = "allocator-api2")]
implement_for_all_heaps!(allocator_api2::alloc);

#[cfg(feature = "allocator_api")]
implement_for_all_heaps!(core::alloc);
