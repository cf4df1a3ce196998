//! Page headers, as they are made and found: by groups.
//!
//! *Role*: a [page table](crate::pages::page_table) makes groups, claims headers from them, and looks there for pages with free blocks.

use super::Page;
use super::state::State;
use crate::base::bitmap::{claim_lowest, mask};
use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicUsize, Ordering};
use crate::pages::geometry::Geometry;

/// Page headers that are made together, with the bits that say which are unused and where to look for pages with room.
#[repr(C)]
pub struct PageGroup<G: Geometry> {
    pub(super) pages: G::PageGroup<Page<G>>,
    /// Pages that were listed: a word for each class, or for several.
    pub(super) listed: G::ListedWords,
    /// Headers that describe nothing.
    pub(super) unused: AtomicUsize,
}

impl<G: Geometry> PageGroup<G> {
    /// Makes the group usable.
    ///
    /// # Safety
    /// `group` points to zeroed memory that is the caller's and stays a group from now on.
    pub unsafe fn init<'a>(group: *mut Self) -> &'a Self {
        // SAFETY: all fields are atomics, valid when zero; nobody else has the address yet.
        let this = unsafe { &*group };
        let pages = this.pages.as_ref();
        for (index, page) in pages.iter().enumerate() {
            page.group.store(group, Ordering::Relaxed);
            page.index.store(index as u8, Ordering::Relaxed);
            page.state.publish(State::FIRST);
        }
        // Relaxed, as all the group: who makes it shared publishes it.
        this.unused.store(mask(0, pages.len()), Ordering::Relaxed);
        this
    }

    /// The header at this position.
    pub fn page(&self, index: usize) -> &Page<G> {
        &self.pages.as_ref()[index]
    }

    /// All headers of the group.
    pub fn pages(&self) -> &[Page<G>] {
        self.pages.as_ref()
    }

    /// Whether there is an unused header: a snapshot.
    pub fn has_unused(&self) -> bool {
        self.unused.load(Ordering::Relaxed) != 0
    }

    /// Claims an unused header.
    pub fn claim_unused(&self) -> Option<&Page<G>> {
        let bit = claim_lowest(&self.unused, 1);
        let page = (bit != 0).then(|| self.page(bit.trailing_zeros() as usize))?;
        page.state.publish(page.state.load().next_claim());
        Some(page)
    }

    /// Holds a listed page of this class, if there is one.
    pub fn hold_listed(&self, class: SizeClass) -> Option<&Page<G>> {
        // The state decides, and shows the page.
        let mut listed = self.listed(class).load(Ordering::Relaxed);
        while listed != 0 {
            let page = self.page(listed.trailing_zeros() as usize);
            if page.hold_listed(class) {
                return Some(page);
            }
            listed &= listed - 1;
        }
        None
    }

    /// The word of this class that says where pages were listed.
    pub(super) fn listed(&self, class: SizeClass) -> &AtomicUsize {
        let words = self.listed.as_ref();
        &words[class.index() % words.len()]
    }
}
