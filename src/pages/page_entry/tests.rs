use super::*;

/// The biggest number of a header that has room beside the bits of a class: 0 stands for none.
fn last_id<E: PageEntry>() -> usize {
    (1 << E::ID_BITS) - 2
}

fn class(index: usize) -> Option<SizeClass> {
    Some(SizeClass::from_index(index))
}

fn keeps_ids<E: PageEntry>(entry: &E) {
    assert_eq!((entry.id(), entry.class()), (None, None), "nothing lies there");
    for id in [0, 1, 255, 256, last_id::<E>()] {
        for class in [class(0), class(1), class(7), class(254), None] {
            entry.enter(id, class);
            assert_eq!(entry.id(), Some(id), "beside class {class:?}");
        }
    }
    entry.store(0);
    assert_eq!((entry.id(), entry.class()), (None, None), "nothing lies there any more");
}

#[test]
fn an_entry_keeps_the_number_of_its_header() {
    keeps_ids(&AtomicU32::new(0));
    keeps_ids(&AtomicU16::new(0));
}

#[test]
fn a_wide_entry_keeps_the_class() {
    let entry = AtomicU32::new(0);
    for id in [0, last_id::<AtomicU32>()] {
        for class in [class(0), class(1), class(7), class(254), None] {
            entry.enter(id, class);
            assert_eq!(entry.class(), class);
        }
    }
}

#[test]
fn a_narrow_entry_says_no_class() {
    let entry = AtomicU16::new(0);
    entry.enter(last_id::<AtomicU16>(), class(3));
    assert_eq!(entry.class(), None, "the header says it");
}
