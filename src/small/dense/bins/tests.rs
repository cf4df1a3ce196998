use super::*;
use crate::small::dense::tag::LEAST;

#[test]
fn four_bins_for_each_doubling() {
    assert_eq!(bin_of(LEAST), 0);
    for granules in 2..if cfg!(miri) { 100 } else { 10_000 } {
        let size = granules * GRANULE;
        let bin = bin_of(size);
        assert!((bin..=bin + 1).contains(&bin_of(size + GRANULE)), "no bin is left out behind {size}");
        assert_eq!(bin_of(2 * size + 2 * GRANULE), bin + 4, "twice {size}");
    }
    assert_eq!((bin_of(usize::MAX / 2), bin_of(usize::MAX)), (COUNT - 1, COUNT - 1));
}
