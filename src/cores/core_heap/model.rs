//! Models of slots: whoever finds the core heap finds it as it was made.

use super::*;
use crate::base::sync::model::{Arc, explore, thread};
use crate::cores::core_local::model::{Model, class, new_core_heap};
use crate::pages::page::model as pages;

/// Makes this core heap the slot's; says whether it is now.
fn install(slot: &CoreSlot, heap: &Arc<CoreHeap<Model>>) -> bool {
    // SAFETY: the model keeps it until all threads have ended.
    unsafe { slot.install::<Model>(core::ptr::from_ref(&**heap).cast_mut()) }
}

/// What a context finds in a slot: the core heap's address. Its magazines are as they were made.
fn found(slot: &CoreSlot) -> Option<*const CoreHeap<Model>> {
    // SAFETY: the geometry is the model's.
    let heap = unsafe { slot.heap::<Model>() }?;
    // SAFETY: a class of the geometry.
    unsafe { heap.magazine(class()) }.assert_valid();
    Some(heap)
}

#[test]
fn a_new_core_heap_is_found_as_it_was_made() {
    explore(|| {
        let slot = Arc::new(CoreSlot::new());
        let maker = {
            let slot = slot.clone();
            thread::spawn(move || {
                let heap = Arc::new(new_core_heap());
                assert!(install(&slot, &heap));
                heap
            })
        };
        let found = found(&slot);
        let heap = maker.join().unwrap();
        assert!(found.is_none_or(|found| core::ptr::eq(found, &*heap)));
    });
}

/// Two contexts install one each: both find that of the winner (C1).
#[test]
fn one_of_two_core_heaps_is_installed() {
    explore(|| {
        let slot = Arc::new(CoreSlot::new());
        let try_with = |slot: &CoreSlot| {
            let heap = Arc::new(new_core_heap());
            let won = install(slot, &heap);
            let found = found(slot).map(|found| core::ptr::eq(found, &*heap));
            // The pointer stays on this thread.
            (heap, won, found)
        };
        let other = {
            let slot = slot.clone();
            thread::spawn(move || try_with(&slot))
        };
        let (heap, won, mine) = try_with(&slot);
        let (other_heap, other_won, theirs) = other.join().unwrap();
        assert_ne!(won, other_won);
        assert_eq!((mine, theirs), (Some(won), Some(other_won)));
        drop((heap, other_heap));
    });
}

/// While a context opens a page and makes it the current one: who finds it there finds it as it was opened.
fn is_found_as_it_was_opened(find: fn(&CoreHeap<pages::Model>, SizeClass) -> Option<&Page<pages::Model>>) {
    explore(move || {
        let world = pages::World::new();
        let heap = Arc::new(CoreHeap::from_parts([[], []], [], array_of!(AtomicPtr::new(null_mut()))));
        let class = pages::class(pages::BIG);
        let other = {
            let (world, heap) = (world.clone(), heap.clone());
            thread::spawn(move || {
                world.open(pages::BIG);
                assert!(heap.replace_current(class, Some(world.page())).is_none());
            })
        };
        if let Some(page) = find(&heap, class) {
            assert_eq!((page.start(), page.block_count()), (pages::START, 2));
        }
        other.join().unwrap();
    });
}

#[test]
fn a_new_page_is_the_current_one() {
    is_found_as_it_was_opened(|heap, class| heap.current(class));
}

#[test]
fn a_new_page_is_replaced() {
    is_found_as_it_was_opened(|heap, class| heap.replace_current(class, None));
}
