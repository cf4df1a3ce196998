//! From a slice to the page that lies there, and the page headers of one arena.
//!
//! *Role*: [`arena`](crate::pages::arena) keeps one beside its slices. Looking a block's page up is what a flush and `usable_size` do; a free
//! without a `Layout` wants to know the class only, and so has no need to touch the header.
//!
//! *Invariants*
//! - T1: every slice of a page, and the first slice of a large block, has an entry with its class and the number of its header; all
//!   others have none. So a pointer to anything else is recognised.
//! - T2: groups are added one after the other, never moved and never taken away.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicPtr, AtomicU16, AtomicUsize, Ordering, WORD_BITS};
use crate::pages::geometry::Geometry;
use crate::pages::page::{Page, PageGroup};
use crate::pages::page_entry::PageEntry;

/// Most groups that a search for a listed page looks at: what bounds a refill.
const SEARCH_GROUPS: usize = 32;

/// The headers of an arena's pages, by slice.
pub struct PageTable<G: Geometry> {
    /// For each slice. They begin with the slice that the arena itself lies in, so that
    /// an address leads here without a look at where slice 0 is.
    entries: NonNull<G::PageEntry>,
    entry_count: usize,
    /// The entry of slice 0.
    first: usize,
    groups: NonNull<AtomicPtr<PageGroup<G>>>,
    group_capacity: usize,
    /// The group where an unused header was last seen: a hint.
    unused_hint: AtomicUsize,
    /// For each class the group where a listed page was last seen: a hint.
    listed_hint: G::PerClass<AtomicU16>,
    geometry: PhantomData<G>,
}

impl<G: Geometry> PageTable<G> {
    /// More groups than this would have numbers too long for an entry.
    const MOST_GROUPS: usize = (1 << G::PageEntry::ID_BITS) / WORD_BITS - 1;

    /// How many pointers to groups are needed for `slices` slices, each of which might be a page.
    pub const fn group_capacity(slices: usize) -> usize {
        let groups = slices.div_ceil(size_of::<G::PageGroup<u8>>());
        if groups < Self::MOST_GROUPS { groups } else { Self::MOST_GROUPS }
    }

    /// Makes the table in place.
    ///
    /// # Safety
    /// `table` is zeroed, writable and not shared yet; `entries` and `groups` are zeroed tables that stay, for `capacity` slices, and
    /// `first` entries more.
    pub unsafe fn init(
        table: *mut Self,
        entries: NonNull<G::PageEntry>,
        groups: NonNull<AtomicPtr<PageGroup<G>>>,
        capacity: usize,
        first: usize,
    ) {
        // SAFETY: the caller's promise; the fields left out are atomics, valid when zero.
        unsafe {
            (*table).entries = entries;
            (*table).entry_count = first + capacity;
            (*table).first = first;
            (*table).groups = groups;
            (*table).group_capacity = Self::group_capacity(capacity);
        }
    }

    /// A table of these entries, the first for slice 0, and groups, for models.
    ///
    /// # Safety
    /// Both stay.
    #[cfg(all(test, any(loom, miri)))]
    pub unsafe fn of(entries: &[G::PageEntry], groups: &[AtomicPtr<PageGroup<G>>]) -> Self {
        PageTable {
            entries: NonNull::from(entries).cast(),
            entry_count: entries.len(),
            first: 0,
            groups: NonNull::from(groups).cast(),
            group_capacity: groups.len(),
            unused_hint: AtomicUsize::new(0),
            listed_hint: G::per_class(|_| AtomicU16::new(0)),
            geometry: PhantomData,
        }
    }

    /// The header of the page, or large block, that lies at this slice.
    #[inline]
    pub fn page_at(&self, slice: usize) -> Option<&Page<G>> {
        let id = self.entries(slice..slice + 1)[0].id()?;
        Some(self.group(id / WORD_BITS)?.page(id % WORD_BITS))
    }

    /// The class of the page that lies at this slice; `None` for a large block, and where nothing lies.
    #[inline]
    pub fn class_at(&self, slice: usize) -> Option<SizeClass> {
        if G::PageEntry::HAS_CLASS { self.entries(slice..slice + 1)[0].class() } else { self.page_at(slice)?.class() }
    }

    /// How many entries there are before slice 0's.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Enters (T1) the page with this number at a run of slices; or, without a class, a large block.
    pub fn enter(&self, run: Range<usize>, id: usize, class: Option<SizeClass>) {
        self.entries(run).iter().for_each(|entry| entry.enter(id, class));
    }

    /// Removes the entries of a run of slices.
    pub fn remove(&self, run: Range<usize>) {
        self.entries(run).iter().for_each(|entry| entry.store(0));
    }

    /// Whether there is an unused header: a snapshot.
    pub fn has_unused(&self) -> bool {
        self.groups_from(self.unused_hint.load(Ordering::Relaxed)).any(|(_, group)| group.has_unused())
    }

    /// Claims an unused header; with its number. `None` if there is none in any group.
    pub fn claim_unused(&self) -> Option<(usize, &Page<G>)> {
        self.groups_from(self.unused_hint.load(Ordering::Relaxed)).find_map(|(number, group)| {
            let page = group.claim_unused()?;
            self.unused_hint.store(number, Ordering::Relaxed);
            Some((page.id(number), page))
        })
    }

    /// Publishes a new group, if there is room for one; false if not.
    pub fn add_group(&self, group: &PageGroup<G>) -> bool {
        let pointer = core::ptr::from_ref(group).cast_mut();
        // Pairs with the load in `group`.
        let publish =
            |slot: &AtomicPtr<_>| slot.compare_exchange(null_mut(), pointer, Ordering::Release, Ordering::Relaxed).is_ok();
        self.group_slots().iter().any(publish)
    }

    /// Holds a listed page of this class. Looks at a bounded number of groups.
    pub fn hold_listed(&self, class: SizeClass) -> Option<&Page<G>> {
        let hint = &self.listed_hint.as_ref()[class.index()];
        // The next search goes on where this one ends, so that every group has its turn.
        self.groups_from(hint.load(Ordering::Relaxed) as usize).take(SEARCH_GROUPS).find_map(|(number, group)| {
            hint.store(number as u16, Ordering::Relaxed);
            group.hold_listed(class)
        })
    }

    /// All groups there are, with their numbers.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &PageGroup<G>)> {
        (0..self.group_capacity).map_while(|number| Some((number, self.group(number)?)))
    }

    /// All groups once around, from group `first` on.
    fn groups_from(&self, first: usize) -> impl Iterator<Item = (usize, &PageGroup<G>)> {
        let numbered = |number| Some((number, self.group(number)?));
        (first..self.group_capacity).map_while(numbered).chain((0..first).map_while(numbered))
    }

    fn group(&self, number: usize) -> Option<&PageGroup<G>> {
        // SAFETY: groups stay as long as the arena (T2).
        unsafe { self.group_slots().get(number)?.load(Ordering::Acquire).as_ref() }
    }

    /// The entries of a run of slices.
    #[inline]
    fn entries(&self, run: Range<usize>) -> &[G::PageEntry] {
        // SAFETY: `init` was given that many.
        let all = unsafe { core::slice::from_raw_parts(self.entries.as_ptr(), self.entry_count) };
        &all[self.first + run.start..self.first + run.end]
    }

    fn group_slots(&self) -> &[AtomicPtr<PageGroup<G>>] {
        // SAFETY: `init` was given that many.
        unsafe { core::slice::from_raw_parts(self.groups.as_ptr(), self.group_capacity) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
