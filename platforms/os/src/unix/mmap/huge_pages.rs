//! Huge pages: asked for in big regions, and forbidden where memory went back.
//!
//! *Role*: Linux gives a huge page when its first byte is touched, where they are asked for. There its `khugepaged` also looks for small pages, and puts a
//! huge page in their place, however few they are: it would take what a heap gave back again, a MiB or more each second. So where a part of a huge page
//! went back, huge pages are forbidden, until all of it goes back at once.
//!
//! *Invariants*
//! - T1: a place is taken once. While its `size` is not 0, it is that of a region of this source: who took the place by its `start` sets the size, and who
//!   releases the region clears it, but not the `start`.

use core::sync::atomic::{AtomicUsize, Ordering};

use coreheap::Region;

use super::kernel;
use crate::system::os_page::page_size;

/// How much of a region stays in small pages at either end. A heap fills a region from the start, and keeps its books at both ends: a small program has no
/// use for huge pages, a big one is faster with them. Where addresses are scarce regions are too small for that.
const SMALL_PAGES_AT_ENDS: usize = 8 << 20;
/// So many regions of a source are looked after, the first that it has, as long as they are no longer than [`MOST_BYTES`] together.
const REGIONS: usize = 32;
/// Linux makes a mapping of each stretch where huge pages are forbidden, and a process may have 65,530: with every second of these huge pages forbidden these
/// are a quarter.
const MOST_BYTES: usize = if usize::BITS == 64 { 32 << 30 } else { usize::MAX };

/// The regions of a source in which huge pages were asked for.
#[derive(Debug)]
pub struct HugePages([Place; REGIONS]);

#[derive(Debug)]
struct Place {
    start: AtomicUsize,
    size: AtomicUsize,
}

impl HugePages {
    /// In no region.
    pub const fn new() -> Self {
        HugePages([const { Place { start: AtomicUsize::new(0), size: AtomicUsize::new(0) } }; REGIONS])
    }

    /// Asks for huge pages in a fresh region, if it is big.
    pub fn ask(&self, region: &Region) {
        let start = region.start.addr().get();
        let Some((from, to)) = middle(start, region.size) else { return };
        kernel::prefer_huge_pages(from, to - from, true);
        let looked_after: usize = self.0.iter().map(|place| place.size.load(Ordering::Relaxed)).sum();
        if region.size > MOST_BYTES.saturating_sub(looked_after) {
            return;
        }
        let take = |place: &&Place| place.start.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if let Some(place) = self.0.iter().find(take) {
            // Release pairs with the Acquire in `settle`: a size is seen with its start.
            place.size.store(region.size, Ordering::Release);
        }
    }

    /// Forgets a region that is about to be released.
    pub fn forget(&self, region: &Region) {
        let start = region.start.addr().get();
        let is_its = |place: &&Place| place.start.load(Ordering::Relaxed) == start && place.size.load(Ordering::Relaxed) != 0;
        if let Some(place) = self.0.iter().find(is_its) {
            place.size.store(0, Ordering::Relaxed);
        }
    }

    /// Forbids huge pages of which a part went back just now, and asks for those that went back as a whole. The caller has this memory still.
    pub fn settle(&self, start: usize, size: usize) {
        let region = self.0.iter().find_map(|place| {
            let size = place.size.load(Ordering::Acquire);
            let first = place.start.load(Ordering::Relaxed);
            (start.wrapping_sub(first) < size).then_some((first, size))
        });
        let Some((from, to)) = region.and_then(|(first, size)| middle(first, size)) else { return };
        let (end, length) = (start + size, huge_page_size());
        let (first, last) = (start / length * length, (end - 1) / length * length);
        let (whole, whole_end) = (start.next_multiple_of(length).max(from), (end / length * length).min(to));
        let is_in_part = |page: usize| page < start || page + length > end;
        let forbid = |page: usize| {
            if is_in_part(page) && page >= from && page + length <= to {
                kernel::prefer_huge_pages(page, length, false);
            }
        };
        forbid(first);
        if last != first {
            forbid(last);
        }
        if whole < whole_end {
            kernel::prefer_huge_pages(whole, whole_end - whole, true);
        }
    }
}

/// How long a huge page is: as much as a page of the kernel's tables leads to, of 8 bytes for each page.
fn huge_page_size() -> usize {
    page_size() * (page_size() / size_of::<u64>())
}

/// Between the ends of a region that is long enough to have a middle.
fn middle(start: usize, size: usize) -> Option<(usize, usize)> {
    let is_long = kernel::HAS_HUGE_PAGES && size > 2 * SMALL_PAGES_AT_ENDS;
    is_long.then(|| (start + SMALL_PAGES_AT_ENDS, start + size - SMALL_PAGES_AT_ENDS))
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", not(miri)))]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    #[test]
    fn what_is_looked_after_is_bounded_in_bytes() {
        let pages = HugePages::new();
        // Addresses of the kernel's, where advice does nothing.
        let region = |number: usize| Region {
            start: NonNull::without_provenance((number << 40 | 1 << 63).try_into().expect("not 0")),
            size: 12 << 30,
        };
        for number in 1..=4 {
            pages.ask(&region(number));
        }
        let looked_after = || pages.0.iter().filter(|place| place.size.load(Ordering::Relaxed) != 0).count();
        assert_eq!(looked_after(), 2);
        pages.forget(&region(3));
        assert_eq!(looked_after(), 2, "it was not looked after");
        pages.forget(&region(1));
        pages.ask(&region(3));
        assert_eq!(looked_after(), 2);
    }
}
