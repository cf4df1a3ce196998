//! Models of groups that are added while others look for a page: who finds one finds it as it was made.

use std::vec::Vec;

use super::*;
use crate::base::sync::AtomicU32;
use crate::base::sync::model::{Arc, explore, thread};
use crate::pages::page::model::{BIG, Model, World, class};

/// A table for one slice, with room for one group.
struct Table {
    table: PageTable<Model>,
    _parts: (Vec<AtomicU32>, Vec<AtomicPtr<PageGroup<Model>>>),
}

// SAFETY: as for an arena's: all that is shared are atomics.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    fn new() -> Arc<Table> {
        let (entries, groups) = (Vec::from([AtomicU32::new(0)]), Vec::from([AtomicPtr::new(null_mut())]));
        // SAFETY: the table has both.
        Arc::new(Table { table: unsafe { PageTable::of(&entries, &groups) }, _parts: (entries, groups) })
    }

    /// Makes a group and adds it; it stays as long as the world that it lies in.
    fn add_group(&self) -> Arc<World> {
        let world = World::new();
        // SAFETY: nobody uses the group before.
        assert!(self.table.add_group(unsafe { PageGroup::init(core::ptr::from_ref(&world.group).cast_mut()) }));
        world
    }
}

/// While a context adds a group, and a page of it.
fn is_found_as_it_was_made(find: fn(&PageTable<Model>)) {
    explore(move || {
        let table = Table::new();
        let other = {
            let table = table.clone();
            thread::spawn(move || {
                let world = table.add_group();
                if let Some((id, _)) = table.table.claim_unused() {
                    table.table.enter(0..1, id, Some(class(BIG)));
                    world.open(BIG);
                    assert!(world.take(BIG, 1).is_some() && world.page().let_go());
                }
                world
            })
        };
        find(&table.table);
        other.join().unwrap();
    });
}

#[test]
fn an_unused_header_is_claimed_as_it_was_made() {
    is_found_as_it_was_made(|table| {
        if let Some((id, page)) = table.claim_unused() {
            assert_eq!((id, page.class()), (0, None));
            page.close();
        }
    });
}

#[test]
fn a_listed_page_is_held_as_it_was_made() {
    is_found_as_it_was_made(|table| {
        if let Some(page) = table.hold_listed(class(BIG)) {
            assert_eq!((page.id(0), page.class(), page.block_count()), (0, Some(class(BIG)), 2));
        }
    });
}

/// An entry is in no order by itself: what it leads to is there, or not yet.
#[test]
fn a_header_is_looked_up_as_it_was_made() {
    is_found_as_it_was_made(|table| {
        if let Some(page) = table.page_at(0) {
            assert!(page.class().is_none_or(|found| found == class(BIG)));
        }
    });
}
