use super::*;
use crate::pages::geometry::LARGE;

/// The biggest number of a header that has room beside the bits of a class: 0 stands for none.
fn last_id<E: PageEntry>() -> usize {
    (1 << E::ID_BITS) - 2
}

fn keeps_ids<E: PageEntry>(entry: &E) {
    assert_eq!((entry.id(), entry.class(255)), (None, None), "nothing lies there");
    for id in [0, 1, 255, 256, last_id::<E>()] {
        for class in [0, 1, 7, 200, LARGE] {
            entry.enter(id, class);
            assert_eq!(entry.id(), Some(id), "beside class {class}");
        }
    }
    entry.store(0);
    assert_eq!((entry.id(), entry.class(255)), (None, None), "nothing lies there any more");
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
        for class in [0, 1, 7, 200] {
            entry.enter(id, class);
            let index = usize::from(class);
            assert_eq!(entry.class(index + 1).map(SizeClass::index), Some(index));
            assert_eq!(entry.class(index), None, "no class of this geometry");
        }
        entry.enter(id, LARGE);
        assert_eq!(entry.class(usize::from(LARGE)), None, "a large block");
    }
}

#[test]
fn a_narrow_entry_says_no_class() {
    let entry = AtomicU16::new(0);
    entry.enter(last_id::<AtomicU16>(), 3);
    assert_eq!(entry.class(255), None, "the header says it");
}
