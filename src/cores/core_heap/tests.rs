use core::mem::MaybeUninit;
use std::boxed::Box;

use super::*;
use crate::cores::core_local;
use crate::cores::core_local::tests::Four;
use crate::cores::in_hand::Hand;
use crate::pages::page::PageGroup;

/// A core heap as it is in memory that is all zero.
fn zeroed() -> Box<CoreHeap<Four>> {
    let memory = Box::into_raw(core_local::tests::zeroed::<CoreHeap<Four>>());
    // SAFETY: a core heap is atomics, valid when zero.
    unsafe { Box::from_raw(memory.cast()) }
}

fn at(heap: Option<&CoreHeap<Four>>) -> *const CoreHeap<Four> {
    heap.map_or(core::ptr::null(), core::ptr::from_ref)
}

#[test]
fn a_slot_gets_one_core_heap_and_keeps_it() {
    let (mut first, mut second) = (zeroed(), zeroed());
    let slot = CoreSlot::default();
    // SAFETY: one geometry; the core heaps stay until the end of this function, and what is taken out comes back.
    unsafe {
        assert!(slot.is_empty() && slot.heap::<Four>().is_none());
        assert!(slot.peek::<Four>().is_none() && slot.take_out::<Four>().is_none());
        slot.reopen();
        assert!(slot.peek::<Four>().is_none(), "there is none to put back");
        let first: *mut CoreHeap<Four> = &mut *first;
        assert!(slot.install(first));
        assert!(!slot.install::<Four>(&mut *second), "C1: once");
        assert!(!slot.is_empty());
        assert_eq!(slot.address(), first.cast());
        assert_eq!([at(slot.heap()), at(slot.peek()), at(slot.peek())], [first.cast_const(); 3]);
    }
}

#[test]
fn who_takes_a_core_heap_out_is_alone_on_it() {
    let mut heap = zeroed();
    let heap: *mut CoreHeap<Four> = &mut *heap;
    let slot = CoreSlot::new();
    // SAFETY: as above.
    unsafe {
        assert!(slot.install(heap));
        let out = slot.take_out::<Four>().expect("nobody has it");
        assert_eq!(at(Some(out)), heap.cast_const());
        assert!(slot.take_out::<Four>().is_none() && slot.peek::<Four>().is_none());
        assert!(!slot.is_empty() && slot.heap::<Four>().is_some(), "it is still the core's");
        slot.put_back(out);
        assert_eq!([at(slot.peek()), at(slot.take_out())], [heap.cast_const(); 2]);
        // Who has it is gone for good, with something in hand.
        core::mem::forget(Hand::new(Some(slot.in_hand())));
        assert!(!slot.in_hand().is_empty());
        slot.reopen();
        assert_eq!((at(slot.peek()), slot.in_hand().is_empty()), (heap.cast_const(), true));
    }
}

#[test]
fn a_core_heap_that_was_waited_for_in_vain_is_known() {
    let slot = CoreSlot::new();
    assert!(!slot.is_lost());
    slot.lose();
    assert!(slot.is_lost());
}

#[test]
fn each_core_has_a_slot_of_its_own() {
    let slots = CoreSlots::<3>::new();
    slots[1].lose();
    assert_eq!([0, 1, 2].map(|core| slots[core].is_lost()), [false, true, false]);
}

#[test]
fn each_class_has_a_magazine_and_a_current_page_of_its_own() {
    let heap = zeroed();
    assert_eq!(heap.magazines().len(), Four::CLASS_COUNT);
    let mut group = MaybeUninit::<PageGroup<Four>>::zeroed();
    // SAFETY: zeroed memory that stays until the end of this function.
    let group = unsafe { PageGroup::init(group.as_mut_ptr()) };
    for index in 0..Four::CLASS_COUNT {
        let (class, page) = (SizeClass::from_index(index), group.page(index % 2));
        // SAFETY: a class of this geometry.
        let magazine = unsafe { heap.magazine(class) };
        assert_eq!(magazine.limit(), 0, "of no other class");
        magazine.set_limit(1 + index % Four::MAGAZINE_SLOTS);
        assert_eq!(heap.magazines()[index].limit(), magazine.limit());
        assert!(heap.current(class).is_none() && heap.replace_current(class, Some(page)).is_none());
        assert!(heap.current(class).is_some_and(|current| core::ptr::eq(current, page)));
    }
    let class = SizeClass::from_index(5);
    let before = heap.replace_current(class, None).expect("the page from above");
    assert!(core::ptr::eq(before, group.page(1)), "C2: who swaps it out has it");
    assert!(heap.current(class).is_none() && heap.replace_current(class, None).is_none());
}
