//! [`Spare`]: memory that was got and is not yet a heap's.
//!
//! *Role*: the part of the last pages that a region did not need, and pages that came elsewhere than they were wanted. All of it waits here for
//! the next request. Each piece says in its first bytes how long it is and which is the next: there may be any number of them, in a few lists.
//!
//! *Concurrency*: a context takes one list after the other, and puts back what it does not need. Others do not find that meanwhile, and may get more. A
//! worker that is terminated then loses one list; there is one piece in each, unless there are more pieces than lists.

use core::ptr::{NonNull, null_mut};

use coreheap::Region;
use coreheap::port::sync::{AtomicPtr, Ordering};

/// Pieces start and end at multiples of this.
pub const ALIGN: usize = 16;

/// In the first bytes of a piece.
#[derive(Clone, Copy)]
struct Piece {
    next: *mut Piece,
    size: usize,
}

const _: () =
    assert!(size_of::<Piece>() <= ALIGN && align_of::<Piece>() <= ALIGN, "the smallest piece has room to say what it is");

/// How many lists there are.
const LISTS: usize = 8;

/// Pieces, whose other bytes are as they came: the first of each list.
#[derive(Debug)]
pub struct Spare {
    lists: [AtomicPtr<Piece>; LISTS],
}

impl Spare {
    pub const fn new() -> Self {
        Spare { lists: [const { AtomicPtr::new(null_mut()) }; LISTS] }
    }

    /// Keeps a piece, which may be empty.
    ///
    /// # Safety
    /// Its bytes are the caller's, and zero.
    pub unsafe fn put(&self, region: Region) {
        if region.size == 0 {
            return;
        }
        debug_assert!(region.start.addr().get().is_multiple_of(ALIGN) && region.size.is_multiple_of(ALIGN));
        let piece = region.start.cast::<Piece>().as_ptr();
        // An empty list, or the last one.
        let is_empty = |list: &&AtomicPtr<Piece>| list.load(Ordering::Relaxed).is_null();
        let list = self.lists.iter().find(is_empty).unwrap_or(&self.lists[LISTS - 1]);
        let mut next = list.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller's bytes, which are enough and aligned.
            unsafe { piece.write(Piece { next, size: region.size }) };
            match list.compare_exchange_weak(next, piece, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Takes out a piece that is wanted; all its bytes are zero.
    pub fn take(&self, is_wanted: impl Fn(Region) -> bool) -> Option<Region> {
        self.lists.iter().find_map(|list| self.take_from(list, &is_wanted))
    }

    fn take_from(&self, list: &AtomicPtr<Piece>, is_wanted: impl Fn(Region) -> bool) -> Option<Region> {
        let mut found = None;
        // An empty list costs no write.
        let mut rest = list.load(Ordering::Relaxed);
        if !rest.is_null() {
            rest = list.swap(null_mut(), Ordering::Acquire);
        }
        while let Some(start) = NonNull::new(rest) {
            // SAFETY: a piece that was put here; the list is this context's now. Its first bytes become zero, as they came.
            let region = unsafe {
                let piece = start.read();
                start.write_bytes(0, 1);
                rest = piece.next;
                Region { start: start.cast(), size: piece.size }
            };
            if found.is_none() && is_wanted(region) {
                found = Some(region);
            } else {
                // SAFETY: as it was.
                unsafe { self.put(region) };
            }
        }
        found
    }
}
