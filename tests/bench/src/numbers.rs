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

/// Marsaglia's xorshift, 64 bits: the same numbers in every run.
pub struct Random(u64);

impl Random {
    /// Starts the sequence.
    pub const fn new() -> Self {
        Random(88_172_645_463_325_252)
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
}
