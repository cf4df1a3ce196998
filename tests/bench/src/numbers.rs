//! Arithmetic on measurements.

/// The middle of the values (the mean of the two in the middle, of an even number of them); sorts them.
///
/// # Panics
/// If there is none.
pub fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "no value has no median");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The geometric mean.
///
/// # Panics
/// If there is no value.
pub fn geometric_mean(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "no value has no mean");
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// The value below which lies this share of the values, which are sorted: the nearest one that was measured.
///
/// # Panics
/// If there is none.
pub fn quantile(sorted: &[u32], share: f64) -> u32 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Marsaglia's xorshift, 64 bits: the same numbers in every run.
pub struct Random(u64);

impl Random {
    /// Starts the sequence.
    pub const fn new() -> Self {
        Random(88_172_645_463_325_252)
    }

    /// Starts another sequence for each seed.
    pub fn seeded(seed: u64) -> Self {
        // Far apart, and never 0.
        let mut random = Random(Self::new().0 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.0 = random.0.max(1);
        random.number();
        random
    }

    /// A number below `bound`, which is not 0.
    #[inline(always)]
    pub fn below(&mut self, bound: usize) -> usize {
        // The upper half of the product: no division.
        ((u128::from(self.number()) * bound as u128) >> 64) as usize
    }

    /// A number of `range`, its end left out.
    #[inline(always)]
    pub fn within(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + self.below(range.end - range.start)
    }

    /// The next number.
    #[inline(always)]
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn mean_of_ratios() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-12);
        assert!((geometric_mean(&[3.0]) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_are_values() {
        let values: Vec<u32> = (1..=1000).collect();
        assert_eq!([0.0, 0.5, 0.99, 0.9999, 1.0].map(|share| quantile(&values, share)), [1, 500, 990, 1000, 1000]);
        assert_eq!(quantile(&[7], 0.5), 7);
    }

    #[test]
    fn random_numbers_stay_in_range() {
        let mut random = Random::seeded(7);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.within(10..15) - 10] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }
}
