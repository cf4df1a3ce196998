//! How much address space to ask the system for.

use coreheap::RegionRequest;

/// What to ask for, one after the other: the preferred size, half of it, and so on down to the least; multiples of `unit`.
pub fn sizes_to_try(request: &RegionRequest, unit: usize) -> impl Iterator<Item = usize> {
    let least = request.min_size.max(1).checked_next_multiple_of(unit);
    let first = least.map(|least| request.preferred_size.checked_next_multiple_of(unit).map_or(least, |size| size.max(least)));
    core::iter::successors(first, move |size| {
        let least = least.filter(|least| least < size)?;
        Some((size / 2 / unit * unit).max(least))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn sizes(min_size: usize, preferred_size: usize, unit: usize) -> Vec<usize> {
        sizes_to_try(&RegionRequest { min_size, preferred_size, preferred_align: 1, is_for_one_block: false }, unit).collect()
    }

    #[test]
    fn sizes_are_halved_down_to_the_least() {
        assert_eq!(sizes(1, 100, 10), [100, 50, 20, 10]);
        assert_eq!(sizes(35, 161, 10), [170, 80, 40]);
        assert_eq!(sizes(70, 5, 10), [70]);
        assert_eq!(sizes(70, usize::MAX, 10), [70], "what cannot be rounded up is not asked for");
        assert_eq!(sizes(usize::MAX, usize::MAX, 10), []);
    }
}
