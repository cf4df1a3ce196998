use super::*;

const MAX: usize = 32 * 1024;

fn class(size: usize, align: usize) -> SizeClass {
    SizeClass::of(size, align, MAX).unwrap()
}

#[test]
fn classes_grow_and_are_hit_exactly() {
    let mut previous = 0;
    for index in 0..SizeClass::count(MAX) {
        let size = SizeClass::from_index(index).block_size();
        assert!(size > previous);
        assert_eq!(class(size, 1).index(), index);
        assert_eq!(class(previous + 1, 1).index(), index, "the first size above {previous}");
        previous = size;
    }
    assert_eq!(previous, MAX);
    assert_eq!(SizeClass::of(MAX + 1, 1, MAX), None);
    assert_eq!(class(0, 1).index(), 0);
}

#[test]
fn numbers_begin_with_1_and_0_is_none() {
    assert_eq!(SizeClass::from_number(0), None);
    for index in [0, 1, 79, 254] {
        let class = SizeClass::from_index(index);
        assert_eq!((class.index(), class.number()), (index, index + 1));
        assert_eq!((SizeClass::from_number(index + 1), SizeClass::from_byte(class.number_in_byte())), (Some(class), class));
    }
}

#[test]
#[cfg_attr(miri, ignore = "safe arithmetic, for every size")]
fn waste_is_at_most_an_eighth() {
    for size in 65..=MAX {
        let block = class(size, 1).block_size();
        assert!((block - size) * 8 <= block, "{size} in {block}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "safe arithmetic, for every size")]
fn alignment_divides_the_block_and_never_costs_a_needless_class() {
    for align in (0..16).map(|shift| 1 << shift).filter(|align| *align <= MAX) {
        for size in 0..=MAX {
            let Some(found) = SizeClass::of(size, align, MAX) else { continue };
            assert_eq!(found.block_size() % align.min(found.block_size()), 0);
            let smallest = (0..=found.index())
                .map(SizeClass::from_index)
                .find(|class| class.block_size() >= size && class.block_size() % align == 0);
            assert_eq!(smallest.unwrap(), found, "{size} at {align}");
        }
    }
    assert_eq!(class(48, 16).block_size(), 48);
    assert_eq!(class(24, 8).block_size(), 24);
}

#[test]
#[cfg_attr(miri, ignore = "safe arithmetic, for every size")]
fn every_size_up_to_the_usable_size_has_the_same_class() {
    for align in [1, 2, 8, 16, 64, 4096] {
        for size in 1..=5000 {
            let found = class(size, align);
            for other in size..=found.block_size() {
                assert_eq!(class(other, align), found);
            }
        }
    }
}

#[test]
fn a_geometry_can_align_more_than_is_asked_for() {
    use crate::pages::geometry::{AlignedServer, Geometry};
    for size in (0..=AlignedServer::MAX_BLOCK).step_by(if cfg!(miri) { 997 } else { 1 }) {
        let class = AlignedServer::class_of(size, 1).unwrap();
        assert!(class.block_size() >= size);
        assert!(size < 16 || class.block_size().is_multiple_of(16), "{size}");
        // S4, over the border as well.
        assert_eq!(AlignedServer::class_of(class.block_size(), 1), Some(class), "{size}");
    }
}

#[test]
fn stand_ins_are_aligned_and_little_bigger() {
    let stands_in = |own: usize, size: usize| {
        let (own, class) = (class(own, 1), class(size, 1));
        assert_eq!((own.block_size() % 64, class.block_size()), (0, size));
        own.stands_in_for(class)
    };
    assert!(stands_in(1536, 1152) && stands_in(1536, 1280) && stands_in(1536, 1536) && stands_in(4096, 3072));
    assert!(stands_in(1408, 1152), "both at multiples of 128");
    assert!(!stands_in(1152, 1536), "too small");
    assert!(!stands_in(1536, 1024), "half as big again");
    assert!(!stands_in(1408, 1280), "at a multiple of 128 only, not 256");
    assert!(!stands_in(640, 576), "small blocks are copied");
}
