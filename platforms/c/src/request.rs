//! From what C asks for to what the heap is asked for.
//!
//! *Role*: what [`c`](crate::c) and `cpp` have in common: alignment that C leaves open, sizes that cannot be, a short way for small
//! sizes. Knows no `errno`.

use core::alloc::Layout;
use core::num::NonZeroU8;
use core::ptr::NonNull;

use coreheap_os::coreheap::port::SizeClass;
use coreheap_os::coreheap::{Geometry, Server};

use crate::HEAP;

/// Alignment of blocks that were asked for without one, from this size on. Smaller ones are aligned at [`LEAST_ALIGN`].
const NATURAL_ALIGN: usize = align_of::<libc::max_align_t>();
/// Alignment of blocks of up to so many bytes, and the least there is.
const LEAST_ALIGN: usize = 8;

/// Sizes up to this one are looked up in a table.
const TABLE_MAX: usize = 1024;

/// The size class of each size, at its natural alignment. A kilobyte, of which a program uses the few lines where its sizes are.
static CLASSES: [NonZeroU8; TABLE_MAX + 1] = {
    let mut classes = [NonZeroU8::MIN; TABLE_MAX + 1];
    let mut size = 0;
    while size < classes.len() {
        match SizeClass::of(size, natural_align(size), Server::MAX_BLOCK) {
            Some(class) => classes[size] = class.number_in_byte(),
            None => panic!("the table has sizes without a class"),
        }
        size += 1;
    }
    classes
};

/// What a block of this size is aligned to: any object that fits in it may be put there.
const fn natural_align(size: usize) -> usize {
    if size <= LEAST_ALIGN { LEAST_ALIGN } else { NATURAL_ALIGN }
}

/// What no request may ask for, size and alignment together: 64 TiB, half of the addresses that a program has on most 64-bit systems; on
/// 32-bit ones `PTRDIFF_MAX`. The system could refuse only after it was asked for a place, and an aligned place is looked for in twice as much.
const TOO_MUCH: usize = if usize::BITS == 64 { 1 << 46 } else { isize::MAX as usize };

/// What to ask the heap for; `None` if no machine could serve it.
#[inline(always)]
fn layout(size: usize, align: usize) -> Option<Layout> {
    if size >= TOO_MUCH.checked_sub(align)? {
        return None;
    }
    Layout::from_size_align(size, align).ok()
}

/// A size at its natural alignment.
#[inline(always)]
fn natural(size: usize) -> Option<Layout> {
    layout(size, natural_align(size))
}

/// The class of a small size.
#[inline(always)]
fn class_of(size: usize) -> Option<SizeClass> {
    if size <= TABLE_MAX { Some(SizeClass::from_byte(CLASSES[size])) } else { None }
}

/// A block of this size, if it is a small one and there is one ready: all that most calls of `malloc` are.
#[inline(always)]
pub fn allocate_ready(size: usize) -> Option<NonNull<u8>> {
    // SAFETY: the table was made of the geometry of the heap.
    unsafe { HEAP.allocate_ready(class_of(size)?) }
}

/// A block of this size, of which none was ready if it is a small one.
#[inline(always)]
pub fn allocate_otherwise(size: usize) -> Option<NonNull<u8>> {
    match class_of(size) {
        // SAFETY: as above.
        Some(class) => unsafe { HEAP.allocate_missed(class) },
        None => HEAP.allocate(natural(size)?),
    }
}

/// A block for `count` objects of `size` bytes, all zero.
#[inline]
pub fn allocate_zeroed(count: usize, size: usize) -> Option<NonNull<u8>> {
    let size = count.checked_mul(size)?;
    if class_of(size).is_none() {
        return HEAP.allocate_zeroed(natural(size)?);
    }
    let block = allocate_ready(size).or_else(|| allocate_otherwise(size))?;
    // SAFETY: a fresh block of at least this size.
    unsafe { block.write_bytes(0, size) };
    Some(block)
}

/// A block of this size at a multiple of `align`, which is a power of two.
#[inline]
pub fn allocate_aligned(align: usize, size: usize) -> Option<NonNull<u8>> {
    HEAP.allocate(layout(size, align.max(natural_align(size)))?)
}

/// The block with another size, here or elsewhere; `None` leaves it as it was.
///
/// # Safety
/// The block came from here; after success the old pointer is not used any more.
#[inline]
pub unsafe fn reallocate(block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
    // SAFETY: the caller's promise.
    unsafe { HEAP.reallocate_unsized(block, natural(size)?) }
}

/// Gives a block back; null does nothing.
///
/// # Safety
/// The block came from here and is not used any more.
#[inline(always)]
pub unsafe fn free(block: *mut u8) {
    // The rest is a jump: this function needs no stack.
    // SAFETY: the caller's promise.
    if !unsafe { HEAP.deallocate_ready(block) } {
        // SAFETY: the caller's promise; the block was not given back.
        unsafe { free_otherwise(block) }
    }
}

#[inline(never)]
unsafe extern "C" fn free_otherwise(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.deallocate_unsized(block) }
}
