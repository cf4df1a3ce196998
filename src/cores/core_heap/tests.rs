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
    // SAFETY: one geometry; the core heaps stay until the end of this function.
    unsafe {
        assert!(slot.is_empty() && slot.heap::<Four>().is_none());
        let first: *mut CoreHeap<Four> = &mut *first;
        assert!(slot.install(first));
        assert!(!slot.install::<Four>(&mut *second), "C1: once");
        assert!(!slot.is_empty());
        assert_eq!(slot.address(), first.cast());
        assert_eq!([at(slot.heap()), at(slot.heap())], [first.cast_const(); 2]);
    }
}

#[test]
fn what_somebody_had_in_hand_who_is_gone_is_forgotten() {
    let slot = CoreSlot::new();
    core::mem::forget(Hand::new(Some(slot.in_hand())));
    assert!(!slot.in_hand().is_empty());
    slot.forget_in_hand();
    assert!(slot.in_hand().is_empty());
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
    let mut memory = zeroed();
    // SAFETY: zeroed memory that nobody else uses.
    let heap = unsafe { CoreHeap::make(&mut *memory) };
    assert_eq!(heap.magazines().count(), Four::CLASS_COUNT);
    let mut group = MaybeUninit::<PageGroup<Four>>::zeroed();
    // SAFETY: zeroed memory that stays until the end of this function.
    let group = unsafe { PageGroup::init(group.as_mut_ptr()) };
    for index in 0..Four::CLASS_COUNT {
        let (class, page) = (SizeClass::from_index(index), group.page(index % 2));
        // SAFETY: a class of this geometry.
        let magazine = unsafe { heap.magazine(class) };
        assert_eq!((magazine.limit(), magazine.count()), (0, 0), "of no other class");
        magazine.set_limit(1 + index % Four::MAGAZINE_SLOTS);
        assert_eq!(heap.magazines().nth(index).map(|(same, magazine)| (same, magazine.limit())), Some((class, magazine.limit())));
        assert!(heap.current(class).is_none() && heap.replace_current(class, Some(page)).is_none());
        assert!(heap.current(class).is_some_and(|current| core::ptr::eq(current, page)));
    }
    let class = SizeClass::from_index(5);
    let before = heap.replace_current(class, None).expect("the page from above");
    assert!(core::ptr::eq(before, group.page(1)), "C2: who swaps it out has it");
    assert!(heap.current(class).is_none() && heap.replace_current(class, None).is_none());
}

/// What assembly counts on: what a class's magazine has is found by the number of the class.
#[test]
fn pointers_lie_at_the_numbers_of_their_classes() {
    let mut memory = zeroed();
    let start: *mut CoreHeap<Four> = &mut *memory;
    // SAFETY: zeroed memory that nobody else uses.
    let heap = unsafe { CoreHeap::make(start) };
    // SAFETY: the pointers of a number.
    let pointers = |number: usize| unsafe {
        let newest = start.cast::<SlotPtr>().add(number);
        [&*newest, &*newest.byte_add(CoreHeap::<Four>::LIMITS)].map(|pointer| pointer.load(Ordering::Relaxed))
    };
    // SAFETY: words of the slots.
    let word = |slot: *mut crate::base::sync::AtomicUsize| unsafe { (*slot).load(Ordering::Relaxed) };
    for class in (0..Four::CLASS_COUNT).map(SizeClass::from_index) {
        // SAFETY: a class of this geometry; this test is alone on the magazine.
        unsafe {
            let magazine = heap.magazine(class);
            magazine.set_limit(1);
            assert!(magazine.push(core_local::tests::block(64 * class.number())).is_ok());
        }
        let [newest, limit] = pointers(class.number());
        assert_eq!((newest, word(newest)), (limit, 64 * class.number()), "one block, and room for one");
    }
    let [newest, limit] = pointers(0);
    assert_eq!((newest, word(newest)), (limit, 0), "of no class");
}
