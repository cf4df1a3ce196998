use super::*;

#[test]
fn short_runs_have_bins_of_their_own_and_each_bin_of_longer_ones_reaches_twice_as_far() {
    for bin in 0..EXACT {
        assert_eq!(bin_of(LEAST + bin * GRANULE), bin);
    }
    let mut least = LEAST + EXACT * GRANULE;
    for bin in EXACT..COUNT {
        assert_eq!(bin_of(least), bin);
        least *= 2;
        assert_eq!(bin_of(least - GRANULE), bin);
    }
    assert_eq!(bin_of(least), COUNT - 1, "the last one has all that are longer");
    assert_eq!(bin_of(usize::MAX & !(GRANULE - 1)), COUNT - 1);
}
