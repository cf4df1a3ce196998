//! Models of slots: whoever finds the core heap finds it as it was made.

use super::*;
use crate::base::sync::model::{Arc, explore, thread};
use crate::cores::core_local::model::{Model, class, new_core_heap};
use crate::pages::page::model as pages;

/// A core heap whose magazines were given this limit, as the heap does it before it installs one.
fn with_limit(limit: usize) -> Arc<CoreHeap<Model>> {
    let heap = new_core_heap();
    heap.magazines().iter().for_each(|magazine| magazine.set_limit(limit));
    Arc::new(heap)
}

/// Whether that core heap is the slot's now.
fn install(slot: &CoreSlot, heap: &Arc<CoreHeap<Model>>) -> bool {
    // SAFETY: the model keeps it until all threads have ended.
    unsafe { slot.install::<Model>(core::ptr::from_ref(&**heap).cast_mut()) }
}

fn limit(heap: &CoreHeap<Model>) -> usize {
    // SAFETY: a class of the geometry.
    unsafe { heap.magazine(class()) }.limit()
}

fn is_found_as_it_was_made(find: fn(&CoreSlot) -> Option<&CoreHeap<Model>>) {
    explore(move || {
        let slot = Arc::new(CoreSlot::new());
        let maker = {
            let slot = slot.clone();
            thread::spawn(move || {
                let heap = with_limit(1);
                assert!(install(&slot, &heap));
                heap
            })
        };
        if let Some(heap) = find(&slot) {
            assert_eq!(limit(heap), 1);
        }
        maker.join().unwrap();
    });
}

#[test]
fn a_new_core_heap_is_found() {
    // SAFETY: the geometry is the model's.
    is_found_as_it_was_made(|slot| unsafe { slot.heap::<Model>() });
}

#[test]
fn a_new_core_heap_is_peeked_at() {
    // SAFETY: as above.
    is_found_as_it_was_made(|slot| unsafe { slot.peek::<Model>() });
}

#[test]
fn a_new_core_heap_is_taken_out() {
    // SAFETY: as above; this is the slot's last use.
    is_found_as_it_was_made(|slot| unsafe { slot.take_out::<Model>() });
}

#[test]
fn a_new_core_heap_is_there_in_a_reopened_slot() {
    is_found_as_it_was_made(|slot| {
        // SAFETY: as above, and nobody uses the core heap yet.
        unsafe {
            slot.reopen();
            slot.peek::<Model>()
        }
    });
}

/// Two contexts install one each: both find that of the winner (C1).
#[test]
fn one_of_two_core_heaps_is_installed() {
    explore(|| {
        let slot = Arc::new(CoreSlot::new());
        let try_with = |slot: &CoreSlot, limit: usize| {
            let heap = with_limit(limit);
            let won = install(slot, &heap);
            (heap, won)
        };
        // SAFETY: the geometry is the model's.
        let found = |slot: &CoreSlot| unsafe { slot.heap::<Model>() }.map(limit);
        let other = {
            let slot = slot.clone();
            thread::spawn(move || {
                let (heap, won) = try_with(&slot, 1);
                (heap, won, found(&slot))
            })
        };
        let (heap, won) = try_with(&slot, 2);
        let mine = found(&slot);
        let (other_heap, other_won, theirs) = other.join().unwrap();
        assert_ne!(won, other_won);
        assert_eq!((mine, theirs), if won { (Some(2), Some(2)) } else { (Some(1), Some(1)) });
        drop((heap, other_heap));
    });
}

/// While a context opens a page and makes it the current one: who finds it there finds it as it was opened.
fn is_found_as_it_was_opened(find: fn(&CoreHeap<pages::Model>, SizeClass) -> Option<&Page<pages::Model>>) {
    explore(move || {
        let world = pages::World::new();
        let heap = Arc::new(CoreHeap::from_parts([], array_of!(AtomicPtr::new(null_mut()))));
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
