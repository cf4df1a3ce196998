//! [`GrowingMemory`]: the page source.

use core::ptr::NonNull;

use coreheap::{PageSource, Region, RegionRequest};

use crate::growth::Growth;
use crate::linear_memory::{LinearMemory, PAGE_SIZE};
use crate::spare::{ALIGN, Spare};

/// A memory that grows while a heap needs more, and cannot shrink. What the last region has no use for waits for the next request.
#[derive(Debug)]
pub struct GrowingMemory<M> {
    growth: Growth<M>,
    spare: Spare,
}

impl<M: LinearMemory> GrowingMemory<M> {
    /// Over `memory`, which grows by `least_growth` pages of 64 KiB or more at a time.
    pub const fn new(memory: M, least_growth: usize) -> Self {
        GrowingMemory { growth: Growth::new(memory, least_growth), spare: Spare::new() }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        self.growth.memory()
    }

    /// Whether the memory ends where `piece` does.
    fn is_last(&self, piece: Region) -> bool {
        end_of(piece) == self.memory().page(self.memory().pages())
    }

    /// Makes `piece` at least `min_size` bytes long, by new pages if it lies at the memory's end. If they come elsewhere, because somebody else
    /// was faster, they are spare now, and the piece is so in any case if this fails.
    fn extend(&self, piece: Region, min_size: usize) -> Option<Region> {
        if piece.size >= min_size {
            return Some(piece);
        }
        let got = if self.is_last(piece) { self.growth.get(min_size - piece.size) } else { None };
        match got {
            Some(got) if got.start.as_ptr() == end_of(piece) => Some(Region { start: piece.start, size: piece.size + got.size }),
            _ => {
                // SAFETY: both are this context's, and as they came.
                [Some(piece), got].into_iter().flatten().for_each(|piece| unsafe { self.spare.put(piece) });
                None
            }
        }
    }
}

/// The address behind a region: null at the end of the address space.
fn end_of(region: Region) -> *mut u8 {
    region.start.as_ptr().wrapping_add(region.size)
}

// SAFETY: a page is the heap's that got it, once: it is part of one region, or of one piece of what is spare. It is zero until it goes out.
unsafe impl<M: LinearMemory> PageSource for GrowingMemory<M> {
    const FRESH_IS_ZERO: bool = true;
    const GROWS: bool = true;
    const DECOMMITS: bool = M::DISCARDS;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if let Some(initial) = self.memory().initial(1) {
            // SAFETY: nobody else's, and zero now.
            unsafe {
                initial.start.write_bytes(0, initial.size);
                self.spare.put(initial);
            }
        }
        let enough = self.spare.take(|piece| piece.size >= request.min_size);
        enough
            .or_else(|| self.extend(self.spare.take(|piece| self.is_last(piece))?, request.min_size))
            .or_else(|| self.growth.get(request.min_size))
    }

    /// Needs no [`commit`](PageSource::commit) after that. What lies on the same page as something else stays as it is: pages are too big for a heap
    /// to deal in whole ones.
    unsafe fn decommit(&self, start: NonNull<u8>, size: usize) -> bool {
        let offset = start.addr().get().wrapping_neg() % PAGE_SIZE;
        // In sizes, not addresses: behind the last page of all is address 0.
        let pages = size.saturating_sub(offset) / PAGE_SIZE;
        if pages > 0 {
            // SAFETY: the caller's promise, for whole pages of it.
            unsafe { self.memory().discard(start.add(offset), pages * PAGE_SIZE) };
        }
        M::DISCARDS
    }

    unsafe fn grow(&self, region: Region, min_size: usize, preferred_size: usize) -> usize {
        // Nothing is behind the end of the address space.
        let Some(start) = NonNull::new(end_of(region)) else { return 0 };
        let behind = self.spare.take(|piece| piece.start == start).unwrap_or(Region { start, size: 0 });
        let Some(behind) = self.extend(behind, min_size) else { return 0 };
        let added = behind.size.min(preferred_size.next_multiple_of(ALIGN));
        if added < behind.size {
            // SAFETY: the rest of a piece that is this context's.
            unsafe { self.spare.put(Region { start: start.add(added), size: behind.size - added }) };
        }
        added
    }
}
