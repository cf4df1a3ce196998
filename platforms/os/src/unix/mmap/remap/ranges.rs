//! Which ranges may hold moved pages.

use core::ffi::c_void;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::mappings::{is_border, is_one, move_each, move_mapping, renew};
use crate::system::os_page::page_size;

/// What can be moved, in bytes: less is copied sooner.
pub const REMAPS_FROM: usize = 1 << 20;

/// How many ranges may hold moved pages at a time. The system gives a process 65,530 mappings, but for tools that list them, and
/// for the kernel's own search, fewer are better.
const MOST_MOVED: usize = 96;

/// `start` of a range that somebody is about to use.
const CLAIMED: usize = 1;

/// The ranges that may hold moved pages.
#[derive(Debug)]
pub struct MovedRanges {
    ranges: [MovedRange; MOST_MOVED],
    /// Whether pages were ever moved.
    is_used: AtomicBool,
}

/// `start` is 0 where there is none. Two ranges overlap only if two contexts cut one at the same moment: then it is one range more than there need be.
#[derive(Debug)]
struct MovedRange {
    start: AtomicUsize,
    size: AtomicUsize,
}

impl MovedRange {
    fn hold(&self, start: usize, size: usize) {
        self.size.store(size, Ordering::Relaxed);
        // Release pairs with the Acquire in `range` and `claim`.
        self.start.store(start, Ordering::Release);
    }

    /// Where it was a moment ago.
    fn range(&self) -> Range<usize> {
        // Acquire pairs with the Release in `hold`.
        let start = self.start.load(Ordering::Acquire);
        start..start.saturating_add(self.size.load(Ordering::Relaxed))
    }

    /// Keeps others from changing it, if it starts here.
    fn claim(&self, start: usize) -> bool {
        start != CLAIMED && self.start.compare_exchange(start, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Clears a range that begins here, unless somebody else is about to change it.
    fn forget(&self, start: usize) {
        if self.claim(start) {
            self.clear();
        }
    }

    /// Clears what the caller has claimed.
    fn clear(&self) {
        self.size.store(0, Ordering::Relaxed);
        self.start.store(0, Ordering::Release);
    }
}

impl MovedRanges {
    /// None.
    pub const fn new() -> Self {
        let ranges = [const { MovedRange { start: AtomicUsize::new(0), size: AtomicUsize::new(0) } }; MOST_MOVED];
        MovedRanges { ranges, is_used: AtomicBool::new(false) }
    }

    /// Moves pages to a range of `room` bytes. A part that cannot be moved, or is too short to be worth it, is copied. False if nothing
    /// was moved.
    ///
    /// # Safety
    /// Whole pages of regions of ours that belong to the caller.
    pub unsafe fn move_pages(&self, from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
        let (mut done, mut is_moved) = (0, false);
        while done < size {
            // Either all of a range that holds moved pages, or what lies before the next one.
            let rest = from.addr() + done..from.addr() + size;
            let next = self.inside(&rest).min_by_key(|(_, range)| range.start);
            let (held, end) = match next {
                Some((held, range)) if range.start == rest.start => (Some(held), range.end),
                Some((_, range)) => (None, range.start),
                None => (None, rest.end),
            };
            let length = end - rest.start;
            let room = if end == rest.end { room - done } else { length };
            // SAFETY: parts of both ranges. What was not moved lies where it lay.
            unsafe {
                let (from, to) = (from.byte_add(done), to.byte_add(done));
                if length >= REMAPS_FROM && self.move_part(held, from, to, length, room) {
                    is_moved = true;
                } else if length == size {
                    return false;
                } else {
                    to.cast::<u8>().copy_from_nonoverlapping(from.cast(), length);
                }
            }
            done += length;
        }
        is_moved || size > 0
    }

    /// Moves all pages of the range `held`, or pages that lie in none.
    ///
    /// # Safety
    /// As for [`move_pages`](Self::move_pages).
    unsafe fn move_part(&self, held: Option<&MovedRange>, from: *mut c_void, to: *mut c_void, size: usize, room: usize) -> bool {
        let Some(target) = self.claim() else { return false };
        let Some(spare) = self.claim() else {
            target.clear();
            return false;
        };
        self.is_used.store(true, Ordering::Relaxed);
        // What was moved in pieces once is copied, so that pieces do not become ever more.
        // SAFETY: the caller's promise.
        let is_moved = unsafe { move_mapping(from, to, size, room) || held.is_none() && move_each(from, to, size, room) };
        if !is_moved {
            [target, spare].into_iter().for_each(MovedRange::clear);
            return false;
        }
        self.cut_out(to.addr()..to.addr() + room, Some(spare));
        target.hold(to.addr(), room);
        match held {
            // SAFETY: the caller's promise; the pages have left it.
            Some(held) if unsafe { renew(from, size) } => held.forget(from.addr()),
            None if is_border(from) && is_border(from.wrapping_byte_add(size)) => {
                // Its neighbours were moved here. What is written to it makes it a mapping that does not become one with theirs again.
                self.claim().inspect(|own| own.hold(from.addr(), size));
            }
            _ => {}
        }
        true
    }

    /// Takes memory out of the range that it is a part of. What lies behind it becomes a range of its own, if there is `spare` for it, which
    /// was claimed; else the range stays as it is.
    fn cut_out(&self, memory: Range<usize>, mut spare: Option<&MovedRange>) {
        for (held, range) in self.overlapping(&memory) {
            let (before, behind) = (range.start..memory.start, memory.end..range.end);
            let kept = if before.is_empty() {
                behind
            } else if behind.is_empty() {
                before
            } else if let Some(spare) = spare.take() {
                spare.hold(behind.start, behind.len());
                before
            } else {
                range
            };
            if kept.is_empty() { held.clear() } else { held.hold(kept.start, kept.len()) }
        }
        spare.into_iter().for_each(MovedRange::clear);
    }

    /// The ranges that overlap with this one, which belongs to the caller; each is claimed.
    fn overlapping(&self, memory: &Range<usize>) -> impl Iterator<Item = (&MovedRange, Range<usize>)> {
        let memory = memory.clone();
        self.ranges.iter().filter_map(move |held| {
            let seen = held.range();
            if !overlap(&seen, &memory) || !held.claim(seen.start) {
                return None;
            }
            // Looked at again: now nobody changes it.
            let range = seen.start..seen.start + held.size.load(Ordering::Relaxed);
            if overlap(&range, &memory) {
                return Some((held, range));
            }
            // It was cut meanwhile.
            if range.is_empty() {
                held.clear()
            } else {
                held.hold(range.start, range.len())
            }
            None
        })
    }

    /// Makes these pages and what is around them one mapping again, if it can be.
    ///
    /// # Safety
    /// Whole pages of a region of ours whose contents nobody uses.
    pub unsafe fn give_up(&self, start: *mut c_void, size: usize) {
        let (page, memory) = (page_size(), start.addr()..start.addr() + size);
        if !self.is_used.load(Ordering::Relaxed) || is_one(start.wrapping_byte_sub(page), size + 2 * page) {
            return;
        }
        // Where a region ends, or its huge pages begin, a mapping ends for good.
        let is_held = || self.ranges.iter().map(MovedRange::range).any(|range| overlap(&range, &memory));
        let is_apart = || !is_one(start, size) || is_border(start) && is_border(start.wrapping_byte_add(size));
        // SAFETY: the caller's promise.
        if (is_held() || is_apart()) && unsafe { renew(start, size) } {
            self.cut_out(memory.clone(), self.claim());
        }
    }

    /// Forgets the ranges inside this region, which is gone.
    pub fn forget(&self, start: usize, size: usize) {
        self.inside(&(start..start + size)).for_each(|(held, range)| held.forget(range.start));
    }

    /// The ranges inside this one, which belongs to the caller (N1).
    fn inside(&self, outer: &Range<usize>) -> impl Iterator<Item = (&MovedRange, Range<usize>)> {
        let outer = outer.clone();
        self.ranges.iter().filter_map(move |held| {
            let range = held.range();
            (!range.is_empty() && outer.contains(&range.start) && range.end <= outer.end).then_some((held, range))
        })
    }

    fn claim(&self) -> Option<&MovedRange> {
        self.ranges.iter().find(|range| range.start.load(Ordering::Relaxed) == 0 && range.claim(0))
    }
}

/// Whether two ranges have an address in common.
fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 1 << 30;
    const SIZE: usize = 3 << 20;

    fn ranges(moved: &MovedRanges) -> [Range<usize>; 2] {
        let mut ranges =
            moved.ranges.iter().map(MovedRange::range).filter(|range| range.start != 0).collect::<std::vec::Vec<_>>();
        ranges.sort_by_key(|range| range.start);
        ranges.resize(2, 0..0);
        [ranges[0].clone(), ranges[1].clone()]
    }

    #[test]
    fn memory_is_cut_out_of_its_range() {
        let third = SIZE / 3;
        let at = |thirds: Range<usize>| START + thirds.start * third..START + thirds.end * third;
        for (cut, left) in
            [(0..3, [0..0, 0..0]), (0..1, [at(1..3), 0..0]), (2..3, [at(0..2), 0..0]), (1..2, [at(0..1), at(2..3)])]
        {
            let moved = MovedRanges::new();
            moved.ranges[0].hold(START, SIZE);
            moved.cut_out(at(cut.clone()), moved.claim());
            assert_eq!(ranges(&moved), left, "{cut:?}");
        }
        let moved = MovedRanges::new();
        moved.ranges[0].hold(START, SIZE);
        moved.cut_out(at(1..2), None);
        assert_eq!(ranges(&moved), [at(0..3), 0..0], "there is none for what lies behind");
    }

    /// One context reads a range, which another cuts and a third leaves before the first claims it.
    #[test]
    fn who_comes_too_late_for_a_range_leaves_none_that_is_empty() {
        let moved = MovedRanges::new();
        let range = &moved.ranges[0];
        range.hold(START, SIZE);
        let seen = range.range();
        assert!(range.claim(seen.start));
        range.forget(seen.start);
        assert_eq!(range.start.load(Ordering::Relaxed), CLAIMED, "it is left to who has claimed it");
        range.hold(START, 0);
        assert!(moved.inside(&(START..START + SIZE)).next().is_none());
        assert!(moved.overlapping(&(START..START + SIZE)).next().is_none());
        range.hold(START, SIZE);
        range.forget(START);
        assert_eq!(ranges(&moved), [0..0, 0..0]);
    }
}
