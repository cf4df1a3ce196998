use core::mem::MaybeUninit;
use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::cores::core_local::tests::zeroed;

macro_rules! small {
    ($name:ident, $bits:tt) => {
        crate::geometry! {
            /// Groups of five pages; classes share room words.
            struct $name {
                slice_size: 256, max_block: 512, page_size: 1024, arena_size: 65536, magazine_slots: 0,
                page_words: 2, pages_per_group: 5, listed_words: 3, page_entry_bits: $bits, grow_size: 4096, fit_candidates: 4,
            }
        }
    };
}
small!(Narrow, 16);
small!(Wide, 32);

/// Entries before slice 0.
const FIRST: usize = 3;

/// A table, and what it lies on.
struct Made<G: Geometry> {
    table: Box<PageTable<G>>,
    entries: Vec<G::PageEntry>,
    slots: Vec<AtomicPtr<PageGroup<G>>>,
    groups: Vec<*mut PageGroup<G>>,
}

impl<G: Geometry> Made<G> {
    /// A table for so many slices, with so many groups.
    fn new(slices: usize, groups: usize) -> Self {
        // SAFETY: atomics, valid when zero.
        let entries: Vec<G::PageEntry> = (0..slices + FIRST).map(|_| unsafe { MaybeUninit::zeroed().assume_init() }).collect();
        let slots: Vec<_> = (0..PageTable::<G>::group_capacity(slices)).map(|_| AtomicPtr::new(null_mut())).collect();
        let mut table = zeroed::<PageTable<G>>();
        // SAFETY: tables of the right lengths, which stay as long as the table does.
        let table = unsafe {
            PageTable::init(
                table.as_mut_ptr(),
                NonNull::from(&entries[..]).cast(),
                NonNull::from(&slots[..]).cast(),
                slices,
                FIRST,
            );
            Box::from_raw(Box::into_raw(table).cast())
        };
        let made = Made { table, entries, slots, groups: (0..groups).map(|_| new_group()).collect() };
        made.groups.iter().for_each(|group| assert!(made.add(*group)));
        made
    }

    fn add(&self, group: *mut PageGroup<G>) -> bool {
        // SAFETY: made by `new_group`, and stays as long as the table.
        self.table.add_group(unsafe { &*group })
    }

    /// An open page of this class, with a free block, which nobody holds; its number.
    fn list(&self, class: SizeClass) -> usize {
        let (id, page) = self.table.claim_unused().expect("a header");
        page.open(class, 0x10_0000, 4);
        let _ = page.take(class, 1);
        assert!(page.let_go());
        id
    }

    /// Holds a listed page; its number.
    fn hold(&self, class: SizeClass) -> Option<usize> {
        let page = self.table.hold_listed(class)?;
        self.table.groups().find_map(|(number, group)| {
            let is_in = group.pages().iter().any(|other| core::ptr::eq(other, page));
            is_in.then(|| page.id(number))
        })
    }
}

impl<G: Geometry> Drop for Made<G> {
    fn drop(&mut self) {
        // SAFETY: made by `new_group`; the table is not used any more.
        self.groups.iter().for_each(|group| unsafe { drop(Box::from_raw(*group)) });
        assert!(self.entries.len() > FIRST && !self.slots.is_empty());
    }
}

fn new_group<G: Geometry>() -> *mut PageGroup<G> {
    let group = Box::into_raw(zeroed::<PageGroup<G>>()).cast();
    // SAFETY: zeroed, and this test's.
    unsafe { PageGroup::init(group) };
    group
}

fn class(size: usize) -> SizeClass {
    Wide::class_of(size, 1).unwrap()
}

/// The number that lies at each slice, -1 where there is none, and its class; a large block has none.
fn says<G: Geometry>(made: &Made<G>, slices: usize) -> Vec<(isize, Option<SizeClass>)> {
    let number = |slice: usize| made.entries[FIRST + slice].id().map_or(-1, |id| id as isize);
    (0..slices).map(|slice| (number(slice), made.table.class_at(slice))).collect()
}

fn entries_are_of_one_run<G: Geometry>() {
    let made = Made::<G>::new(8, 2);
    assert_eq!((made.table.first(), made.table.entry_count), (FIRST, 8 + FIRST));
    let nothing = (-1, None);
    assert_eq!(says(&made, 8), [nothing; 8]);
    // The first of the second group, a page; and a large block, of which the first slice alone has an entry.
    (0..5).for_each(|id| assert_eq!(made.table.claim_unused().map(|(claimed, _)| claimed), Some(id)));
    let (id, page) = made.table.claim_unused().expect("of the second group");
    assert_eq!(id, WORD_BITS);
    page.open(class(64), 0x10_0000, 3);
    made.table.enter(2..5, id, Some(class(64)));
    made.table.enter(5..6, 4, None);
    let lies = (WORD_BITS as isize, Some(class(64)));
    assert_eq!(says(&made, 8), [nothing, nothing, lies, lies, lies, (4, None), nothing, nothing]);
    for slice in 0..8 {
        let expected = match slice {
            2..5 => Some(core::ptr::from_ref(page)),
            // SAFETY: a group of this table.
            5 => Some(core::ptr::from_ref(unsafe { &*made.groups[0] }.page(4))),
            _ => None,
        };
        assert_eq!(made.table.page_at(slice).map(core::ptr::from_ref), expected, "at slice {slice}");
    }
    made.table.remove(3..5);
    assert_eq!(says(&made, 8), [nothing, nothing, lies, nothing, nothing, (4, None), nothing, nothing]);
    let before = made.entries[..FIRST].iter().filter(|entry| entry.load() != 0).count();
    assert_eq!(before, 0, "what lies before slice 0 is nobody's");
    // The last slice, and none behind it.
    made.table.enter(7..8, id, Some(class(64)));
    assert_eq!(says(&made, 8)[6..], [nothing, lies]);
}

#[test]
fn entries_say_what_lies_at_a_slice_and_nowhere_else() {
    entries_are_of_one_run::<Narrow>();
    entries_are_of_one_run::<Wide>();
}

#[test]
fn there_is_room_for_a_page_in_each_slice() {
    for (slices, groups) in [(1, 1), (4, 1), (5, 1), (6, 2), (100, 20)] {
        assert_eq!(PageTable::<Wide>::group_capacity(slices), groups, "{slices} slices");
    }
    // Numbers must have room in an entry of 16 bits, counted from 1.
    let most = PageTable::<Narrow>::group_capacity(1 << 30);
    assert!(most * WORD_BITS < 1 << 16 && (most + 2) * WORD_BITS > 1 << 16, "{most} groups");
}

#[test]
fn groups_are_added_one_after_the_other_while_there_is_room() {
    let mut made = Made::<Wide>::new(3 * 5, 0);
    assert!(made.table.claim_unused().is_none() && made.hold(class(64)).is_none(), "no group yet");
    for number in 0..3 {
        assert_eq!(made.table.groups().count(), number);
        made.groups.push(new_group());
        assert!(made.add(made.groups[number]));
    }
    let is_same = |(number, group): (usize, &PageGroup<Wide>)| core::ptr::eq(group, made.groups[number]);
    assert!(made.table.groups().all(is_same));
    let one_more = new_group();
    assert!(!made.add(one_more), "no room");
    assert_eq!(made.table.groups().count(), 3);
    made.groups.push(one_more);
}

#[test]
fn every_header_is_claimed_once_and_again_when_it_is_unused() {
    let made = Made::<Wide>::new(4 * 5, 4);
    let claimed: Vec<_> = core::iter::from_fn(|| made.table.claim_unused().map(|(id, _)| id)).collect();
    let all: Vec<usize> = (0..4).flat_map(|group| (0..5).map(move |index| group * WORD_BITS + index)).collect();
    assert_eq!(claimed, all);
    assert!(!made.table.has_unused());
    // In any order; the search begins at the last group.
    for id in [3 * WORD_BITS + 1, WORD_BITS + 2, 2 * WORD_BITS] {
        // SAFETY: a group of this table.
        unsafe { &*made.groups[id / WORD_BITS] }.page(id % WORD_BITS).close();
        assert!(made.table.has_unused());
    }
    let again: Vec<_> = core::iter::from_fn(|| made.table.claim_unused().map(|(id, _)| id)).collect();
    assert_eq!(again, [3 * WORD_BITS + 1, WORD_BITS + 2, 2 * WORD_BITS]);
    assert!(!made.table.has_unused());
}

#[test]
fn a_listed_page_is_found_in_any_group() {
    let made = Made::<Wide>::new(4 * 5, 4);
    let listed: Vec<usize> = (0..4 * 5).map(|number| made.list(class(if number % 3 == 0 { 512 } else { 64 }))).collect();
    for size in [64, 512] {
        let of_class = listed.iter().enumerate().filter(|(number, _)| (number % 3 == 0) == (size == 512)).map(|(_, id)| *id);
        let mut held: Vec<_> = core::iter::from_fn(|| made.hold(class(size))).collect();
        held.sort();
        assert_eq!(held, of_class.collect::<Vec<_>>(), "pages of {size}");
    }
    assert_eq!(made.hold(class(128)), None, "there was none");
}

/// A search that found nothing in the groups it looked at: the next one looks at others.
#[test]
fn a_search_is_bounded_and_every_group_has_its_turn() {
    const GROUPS: usize = 3 * SEARCH_GROUPS;
    let made = Made::<Wide>::new(GROUPS * 5, GROUPS);
    let in_group = |wanted: usize| {
        // SAFETY: a group of this table.
        let page = unsafe { &*made.groups[wanted] }.claim_unused().expect("a header");
        page.open(class(64), 0x10_0000, 4);
        let _ = page.take(class(64), 1);
        assert!(page.let_go());
        wanted * WORD_BITS
    };
    let far = in_group(2 * SEARCH_GROUPS + 5);
    let searches = (1..10).find(|_| made.hold(class(64)) == Some(far)).unwrap();
    assert_eq!(searches, 3, "none looks at more than {SEARCH_GROUPS} groups");
    assert_eq!(made.hold(class(64)), None, "it is held");
}
