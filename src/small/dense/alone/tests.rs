use super::*;

#[test]
fn eight_classes_for_each_doubling() {
    for granules in 1..16 {
        assert_eq!(class_of(granules * GRANULE), granules, "the smallest sizes have one each");
    }
    for granules in 8..if cfg!(miri) { 100 } else { 10_000 } {
        let (class, next) = (class_of(granules * GRANULE), class_of((granules + 1) * GRANULE));
        assert!((class..=class + 1).contains(&next), "{granules}");
        assert_eq!(class_of(2 * granules * GRANULE), class + 8, "twice {granules}");
    }
    assert_eq!([2047, 2048].map(|granules| class_of(granules * GRANULE)), [71, 72]);
}
