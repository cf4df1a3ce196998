//! Models of states: who sees one sees the fields that were written before it. In each the header described something else before.

use crate::base::sync::model::explore;
use crate::pages::page::model::{BIG, SMALL, SMALL_SLICES, START, World, beside, class};

/// Who holds a listed page finds it as it was opened (P2).
#[test]
fn a_listed_page_is_held_as_it_was_opened() {
    explore(|| {
        let world = World::open_for(BIG);
        assert!(world.page().claim_all());
        let open = |world: &World| {
            world.open(SMALL);
            // One block is out: nobody retires the page.
            assert!(world.take(SMALL, 1).is_some() && world.page().let_go());
        };
        let hold = |world: &World| {
            let page = world.group.hold_listed(class(SMALL));
            page.map(|page| (page.start(), page.slice_count(), page.block_count() == page.free_count() + 1))
        };
        let (found, _) = beside(&world, hold, open);
        assert!(found.is_none_or(|found| found == (START, SMALL_SLICES, true)));
    });
}

/// A large block is freed twice, and its header describes another one meanwhile: that one is not freed.
#[test]
fn a_late_free_of_a_large_block_frees_no_other() {
    explore(|| {
        let world = World::new();
        world.page().open_large(START, 3);
        let free_and_open = |world: &World| {
            world.page().claim_large(START) && {
                world.page().close();
                assert!(world.group.claim_unused().is_some());
                world.page().open_large(2 * START, 1);
                true
            }
        };
        let (second, first) = beside(&world, |world| world.page().claim_large(START), free_and_open);
        assert!(first != second, "a block that is in use was freed");
    });
}
