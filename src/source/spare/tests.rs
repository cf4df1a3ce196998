use super::*;

#[test]
fn one_region_is_kept_and_taken_out_once() {
    let mut memory = [0u8; 2];
    let [first, second] = &mut memory;
    let regions = [Region { start: NonNull::from(first), size: 100 }, Region { start: NonNull::from(second), size: 7 }];
    let taken = |spare: &Spare| spare.take().map(|region| (region.start, region.size));
    let spare = Spare::new();
    assert_eq!(taken(&spare), None);
    for (kept, other) in [(0, 1), (1, 0)] {
        spare.keep(regions[kept]);
        spare.keep(regions[other]);
        assert_eq!(taken(&spare), Some((regions[kept].start, regions[kept].size)), "there is no room for another");
        assert_eq!(taken(&spare), None, "it is out");
    }
}
