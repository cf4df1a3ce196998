//! The first region of a heap, in areas: one for each context that is about to make an arena of it.

use core::marker::PhantomData;
use core::ops::Range;

use super::Arena;
use crate::base::sync::Ordering;
use crate::pages::geometry::Geometry;
use crate::source::page_source::{PageSource, Region};

/// The region that a source begins with, of which any number of contexts may be about to make the first arena (W2).
pub struct Areas<G: Geometry> {
    region: Region,
    /// Bytes of an area: whole slices, and OS pages, which hold what lies in front of the slices of an arena at the start of the region.
    area: usize,
    /// Bytes in front of a place where an OS page and a slice begin.
    inset: usize,
    /// Bytes of the table that the arena brings along for the arena map.
    map_bytes: usize,
    geometry: PhantomData<G>,
}

impl<G: Geometry> Areas<G> {
    /// `None` if there is no such region, or it is too small. A table of the arena map for so many bytes takes `map_bytes`.
    pub fn of_first<S: PageSource>(source: &S, map_bytes: impl Fn(usize) -> usize) -> Option<Self> {
        // A part of a region can neither grow nor go back.
        let can_be_parts = !S::GROWS && !S::RELEASES;
        let region = can_be_parts.then(|| source.first_region(Arena::<G>::least_region_size(1)?)).flatten()?;
        let map_bytes = map_bytes(Arena::<G>::reach::<S>(region));
        let align = Arena::<G>::first_align::<S>();
        let inset = region.start.addr().get().wrapping_neg() % align;
        let front = Arena::<G>::front_for::<S>(region, map_bytes)?;
        // An area begins anywhere in a slice the first time, and at its start then.
        let area = front.checked_next_multiple_of(align)?.checked_add(align)?;
        (Arena::<G>::usable_size(region).checked_sub(front)? >= align).then_some(Areas {
            region,
            area,
            inset,
            map_bytes,
            geometry: PhantomData,
        })
    }

    /// Bytes of the table that the arena brings along for the arena map: the same for each attempt.
    pub fn map_bytes(&self) -> usize {
        self.map_bytes
    }

    /// Whether they are of this region.
    pub fn are_of(&self, region: Region) -> bool {
        self.region.start == region.start
    }

    /// How many attempts there may be: half of the region is for blocks.
    pub fn most_attempts(&self) -> usize {
        (self.region.size.saturating_sub(self.inset) / (2 * self.area)).max(1)
    }

    /// What an attempt makes an arena of: its area and all behind it.
    pub fn part(&self, attempt: usize) -> Region {
        let offset = if attempt == 0 { 0 } else { self.inset + attempt * self.area };
        // SAFETY: an area inside the region.
        Region { start: unsafe { self.region.start.add(offset) }, size: self.region.size - offset }
    }

    /// The area of an attempt.
    pub fn area(&self, attempt: usize) -> Region {
        let part = self.part(attempt);
        Region { size: self.area + if attempt == 0 { self.inset } else { 0 }, ..part }
    }
}

impl<G: Geometry> Arena<G> {
    /// Takes slices out of what is free, where another context writes that was about to make an arena of the same region. Before this one is shared.
    pub fn set_aside<S: PageSource>(&self, source: &S, area: Region) {
        let Some(run) = self.run_of(area) else { return };
        // Where the source commits, the other context has done so.
        let is_mine = if S::COMMITS {
            self.slices.free().claim(run.clone())
        } else {
            self.slices.claim_exactly(source, run.clone()).is_some()
        };
        debug_assert!(is_mine, "nobody has this arena yet");
        self.metadata_slices.fetch_add(run.len(), Ordering::Relaxed);
    }

    /// Takes back what was [set aside](Self::set_aside); false if the area does not lie in the slices.
    pub fn take_back(&self, area: Region) -> bool {
        let Some(run) = self.run_of(area) else { return false };
        self.metadata_slices.fetch_sub(run.len(), Ordering::Relaxed);
        self.slices.release(run);
        true
    }

    /// The slices of an area.
    fn run_of(&self, area: Region) -> Option<Range<usize>> {
        let first = self.slices.index_of(area.start.addr().get())?;
        Some(first..first + area.size / G::SLICE_SIZE)
    }
}

#[cfg(test)]
mod tests;
