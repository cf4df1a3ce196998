//! An arena: one region under management.
//!
//! *Role*: brings the slices of a region and its page table together: opens and retires pages, hands out large blocks and
//! metadata. The only file that knows both sides.
//!
//! ```text
//! region: | Arena | slice -> page | slice bitmaps | groups | map | padding | slice 0 | slice 1 | … | slice n |
//! ```
//!
//! *Invariants*
//! - R1: an arena lies at the start of its region, is published once and stays until the whole heap goes.
//! - R2: a slice is free only while no entry of the page table leads from it to a header.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use crate::base::events::event;
use crate::base::inside::Inside;
use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::pages::geometry::Geometry;
use crate::pages::page::{Page, PageGroup};
use crate::pages::page_entry::PageEntry;
use crate::pages::page_table::PageTable;
use crate::pages::slices::{ClaimedRun, Slices, run_for};
use crate::source::page_source::{PageSource, Region};

mod areas;
mod plan;

pub use areas::Areas;

/// One region under management.
pub struct Arena<G: Geometry> {
    /// The arena that was there before; see [`Arenas`](crate::pages::arenas::Arenas).
    pub(crate) next: AtomicPtr<Arena<G>>,
    region_start: NonNull<u8>,
    region_size: AtomicUsize,
    /// Whether a context asks the source for more memory at the end of the region.
    growing: Inside,
    /// Slices that hold metadata: page groups and core heaps.
    metadata_slices: AtomicUsize,
    slices: Slices<G>,
    table: PageTable<G>,
}

impl<G: Geometry> Arena<G> {
    /// Makes an arena in `region`, with `map_bytes` for a table of the arena map, zeroed; `None` if the region is too small for a single slice,
    /// or the source refuses to commit the tables.
    pub fn create<'a, S: PageSource>(source: &S, region: Region, map_bytes: usize) -> Option<(&'a Self, NonNull<u8>)> {
        let start = region.start.addr().get();
        let size = Self::usable_size(region);
        let inset = start.wrapping_neg() % align_of::<Self>();
        let plan = Self::plan(Self::reach::<S>(region) / G::SLICE_SIZE, map_bytes);
        let front = Self::front_for::<S>(region, map_bytes)?;
        if front >= size || size - front < Self::first_align::<S>() {
            return None;
        }
        let before = (start + front) / G::SLICE_SIZE - (start + inset) / G::SLICE_SIZE;
        let capacity = plan.capacity.checked_sub(before).filter(|capacity| *capacity > 0)?;
        if S::COMMITS {
            // SAFETY: the front of the region, whole OS pages.
            unsafe { source.commit(region.start, front) }.then_some(())?;
        }
        region.start.as_ptr().expose_provenance();
        // SAFETY: all pointers are inside the region's front, which is committed, aligned and this context's alone.
        unsafe {
            if !S::FRESH_IS_ZERO {
                region.start.write_bytes(0, front);
            }
            let base = region.start.add(inset);
            let arena = base.cast::<Self>().as_ptr();
            (*arena).region_start = region.start;
            (*arena).region_size = AtomicUsize::new(region.size);
            let set_aside = if S::GROWS { 0 } else { Self::header_slices::<S>(capacity) };
            (&raw mut (*arena).slices).write(Slices::new(
                region.start.add(front),
                capacity,
                set_aside,
                base.add(plan.bitmaps).cast(),
            ));
            let (entries, groups) = (base.add(Self::ENTRIES).cast(), base.add(plan.groups).cast());
            PageTable::init(&raw mut (*arena).table, entries, groups, capacity, before);
            (*arena).slices.extend_to::<S>((size - front) / G::SLICE_SIZE);
            Some((&*arena, base.add(plan.map_table)))
        }
    }

    /// The region as it is now.
    pub fn region(&self) -> Region {
        Region { start: self.region_start, size: self.region_size.load(Ordering::Relaxed) }
    }

    /// The first and the last address that it ever can have, the tables' included.
    pub fn span(&self) -> (usize, usize) {
        (self.region_start.addr().get(), self.slices.start() + (self.slices.capacity() * G::SLICE_SIZE - 1))
    }

    /// Its slices.
    pub fn slices(&self) -> &Slices<G> {
        &self.slices
    }

    /// Its page table.
    pub fn table(&self) -> &PageTable<G> {
        &self.table
    }

    /// Bytes in front of slice 0: the arena and its tables.
    pub fn front_bytes(&self) -> usize {
        self.slices.start() - self.region_start.addr().get()
    }

    /// Bytes of metadata: the front, page headers, core heaps.
    pub fn metadata_bytes(&self) -> usize {
        self.front_bytes() + self.metadata_slices.load(Ordering::Relaxed) * G::SLICE_SIZE
    }

    /// The page, or large block, that this address lies in.
    #[inline]
    pub fn page_of(&self, address: usize) -> Option<&Page<G>> {
        self.table.page_at(self.slices.index_of(address)?)
    }

    /// The class of the page that this address lies in; `None` for a large block and for anything else.
    #[inline]
    pub fn class_of(&self, address: usize) -> Option<SizeClass> {
        self.table.class_at(self.slices.index_of(address)?)
    }

    /// How many slices the region has from the arena on, by now.
    pub fn slices_from_base(&self) -> usize {
        self.table.first() + self.slices.count()
    }

    /// The class of the page that lies so many slices behind the arena; `None` for a large block and for anything else. Looks at nothing on the way.
    ///
    /// # Safety
    /// An arena lies at `arena`, where a slice could start: a pointer that may be used for all of its region. It has more
    /// [slices](Self::slices_from_base) than `index`.
    #[inline(always)]
    pub unsafe fn class_in(arena: *const u8, index: usize) -> Option<SizeClass> {
        // SAFETY: the caller's promise; the entries are where `plan` puts them.
        unsafe { (*arena.add(Self::ENTRIES).cast::<G::PageEntry>().add(index)).class() }
    }

    /// Whether so many slices could be free, if nobody had blocks in pages: all but those of large blocks. Metadata counts as if it were free, since a
    /// context may have claimed some that it gives back.
    pub fn could_free(&self, slice_count: usize) -> bool {
        if slice_count > self.slices.count() {
            return false;
        }
        let pages = self.table.groups().flat_map(|(_, group)| group.pages());
        let large: usize = pages.filter(|page| page.is_large()).map(Page::slice_count).sum();
        self.slices.count() >= large + slice_count
    }

    /// Where the arena lies: a pointer that may be used for all of its region.
    pub fn base(&self) -> *mut u8 {
        self.region_start.as_ptr().with_addr(core::ptr::from_ref(self).addr())
    }

    /// Opens a page of this class with so many slices, held by the caller.
    pub fn fresh_page<S: PageSource>(&self, source: &S, class: SizeClass, slice_count: usize) -> Option<&Page<G>> {
        // A block is aligned by nature if its page is, to the largest power of two in the block size.
        let align = 1 << class.block_size().trailing_zeros();
        let (id, page, claimed) = self.claim_run(source, slice_count, align)?;
        let start = self.slices.pointer(claimed.run.start).addr().get();
        self.table.enter(claimed.run, id, Some(class));
        page.open(class, start, slice_count);
        Some(page)
    }

    /// Returns the slices of a page that the caller holds; false if it is not empty.
    pub fn retire(&self, page: &Page<G>) -> bool {
        page.claim_all() && {
            let run = self.close(page, page.slice_count());
            self.slices.release(run);
            true
        }
    }

    /// Hands out a large block; with whether its memory is known to be zero.
    pub fn claim_large<S: PageSource>(&self, source: &S, slice_count: usize, align: usize) -> Option<(usize, bool)> {
        if slice_count > self.slices.count() {
            return None;
        }
        let (id, page, claimed) = self.claim_run(source, slice_count, align)?;
        let (first, start) = (claimed.run.start, self.slices.pointer(claimed.run.start).addr().get());
        page.open_large(start, slice_count);
        self.table.enter(first..first + 1, id, None);
        Some((start, claimed.zeroed))
    }

    /// Returns the slices of a large block that the caller has claimed.
    pub fn return_large<S: PageSource>(&self, source: &S, page: &Page<G>) {
        let run = self.close(page, 1);
        self.slices.release_to(source, run);
    }

    /// Makes the caller's large block `slice_count` slices long without moving it, if what follows it is free, or can be added to the region.
    pub fn resize_large<S: PageSource>(&self, source: &S, page: &Page<G>, slice_count: usize) -> bool {
        let Some(first) = self.slices.index_of(page.start()) else { return false };
        let (old_end, new_end) = (first + page.slice_count(), first + slice_count);
        if new_end > old_end {
            let missing = new_end.saturating_sub(self.slices.count());
            let behind = new_end - missing - old_end;
            let can_be = missing == 0 || self.slices.free().run_at(old_end, behind) == behind && self.grow(source, missing);
            if !can_be || self.slices.claim_exactly(source, old_end..new_end).is_none() {
                return false;
            }
            page.set_slice_count(slice_count);
        } else {
            page.set_slice_count(slice_count);
            self.slices.release_to(source, new_end..old_end);
        }
        true
    }

    /// Zeroed memory for metadata that stays until the whole heap goes.
    pub fn claim_metadata<S: PageSource, T>(&self, source: &S) -> Option<NonNull<T>> {
        let layout = Layout::new::<T>();
        let slice_count = run_for::<S, G>(layout.size());
        // At the end of the region, where it does not cut the free slices in two; unless more will be added there.
        let claimed = if S::GROWS {
            self.slices.claim(source, slice_count, layout.align())
        } else {
            self.slices.claim_last(source, slice_count, layout.align())
        }?;
        let pointer = self.slices.pointer(claimed.run.start);
        if !claimed.zeroed {
            // SAFETY: the claimed slices.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        self.metadata_slices.fetch_add(slice_count, Ordering::Relaxed);
        Some(pointer.cast())
    }

    /// Gives metadata back that was never published.
    pub fn return_metadata<S: PageSource, T>(&self, pointer: NonNull<T>) {
        let slice_count = run_for::<S, G>(size_of::<T>());
        if let Some(first) = self.slices.index_of(pointer.addr().get()) {
            self.metadata_slices.fetch_sub(slice_count, Ordering::Relaxed);
            self.slices.release(first..first + slice_count);
            self.slices.undone().note();
        }
    }

    /// Asks the source for more memory at the end of the region, for at least `slice_count` slices.
    pub fn grow<S: PageSource>(&self, source: &S, slice_count: usize) -> bool {
        if !S::GROWS || !self.growing.enter() {
            return false;
        }
        let region = self.region();
        let front = self.front_bytes();
        let end = self.slices.count().saturating_add(slice_count);
        // The tables have no room for more than their capacity. Others may have grown the region before this context was alone.
        let is_grown = end <= self.slices.capacity() && {
            // What is left over behind the last slice counts as well.
            let wanted = front + end * G::SLICE_SIZE - region.size;
            let most = front + self.slices.capacity() * G::SLICE_SIZE - region.size;
            // SAFETY: this arena's region, as grown; `growing` keeps others out.
            let added = unsafe { source.grow(region, wanted, wanted.max(G::GROW_SIZE).min(most)) };
            if added > 0 {
                event!("{=usize} bytes more from the page source", added);
                self.region_size.store(region.size + added, Ordering::Relaxed);
                self.slices.extend_to::<S>((Self::usable_size(self.region()) - front) / G::SLICE_SIZE);
            }
            added >= wanted
        };
        self.growing.leave();
        is_grown
    }

    /// A run of slices and a header for it, or neither: a request that is refused leaves no headers behind.
    fn claim_run<S: PageSource>(&self, source: &S, slice_count: usize, align: usize) -> Option<(usize, &Page<G>, ClaimedRun)> {
        loop {
            // Before the run, so that free slices are not cut in two. Others get to see it once there is a run.
            let group = if self.table.has_unused() { None } else { Some(self.claim_metadata::<S, PageGroup<G>>(source)?) };
            let Some(claimed) = self.slices.claim(source, slice_count, align) else {
                group.inspect(|memory| self.return_metadata::<S, _>(*memory));
                return None;
            };
            let is_full = group.is_some_and(|memory| {
                // SAFETY: zeroed memory of this context, and metadata stays (R1), or is given back.
                let is_full = !self.table.add_group(unsafe { PageGroup::init(memory.as_ptr()) });
                if is_full {
                    self.return_metadata::<S, _>(memory);
                }
                is_full
            });
            // Last, so that nobody has a header without slices.
            if let Some((id, page)) = self.table.claim_unused() {
                return Some((id, page, claimed));
            }
            self.slices.release(claimed.run);
            self.slices.undone().note();
            // Else others were faster to take all headers.
            if is_full {
                return None;
            }
        }
    }

    /// Gives the header back of a page or large block that the caller claimed; the first `entered` of its slices have entries. Returns the slices, which
    /// the caller owns and gives back (R2: last).
    fn close(&self, page: &Page<G>, entered: usize) -> Range<usize> {
        let first = (page.start() - self.slices.start()) / G::SLICE_SIZE;
        let run = first..first + page.slice_count();
        self.table.remove(first..first + entered);
        page.close();
        run
    }

    /// Checks R2, T1 and every page, while nobody uses the heap.
    pub fn assert_valid(&self) {
        let free = self.slices.free();
        let mut used = self.metadata_slices.load(Ordering::Relaxed);
        for (number, group) in self.table.groups() {
            for page in group.pages() {
                page.assert_valid();
                let is_run = page.is_large() || page.is_waiting();
                if page.class().is_none() && !is_run {
                    continue;
                }
                used += page.slice_count();
                let first = self.slices.index_of(page.start()).expect("a page starts at a slice");
                let run = first..first + page.slice_count();
                assert!(free.is_clear(run.clone()), "R2: page {} lies on free slices", page.id(number));
                let entered = if is_run { first..first + 1 } else { run };
                for slice in entered {
                    assert!(self.table.page_at(slice).is_some_and(|found| core::ptr::eq(found, page)), "T1: slice {slice}");
                    assert_eq!(self.table.class_at(slice), page.class(), "T1: slice {slice}");
                }
            }
        }
        assert_eq!(free.count() + used, self.slices.count(), "A1: slices that nobody owns");
    }
}

#[cfg(test)]
mod tests;
