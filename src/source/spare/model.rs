//! Models of a region that is kept while another context takes it out.

use super::*;
use crate::base::sync::model::{Arc, explore, thread};

fn region(number: usize) -> Region {
    Region { start: NonNull::new(core::ptr::without_provenance_mut(number)).unwrap(), size: number }
}

/// The number of the region that is taken out, if any.
fn take(spare: &Spare) -> Option<usize> {
    let region = spare.take()?;
    assert_eq!(region.size, region.start.addr().get(), "a region of another size");
    Some(region.size)
}

/// A region that is kept, and taken out elsewhere, is kept whole.
#[test]
fn a_region_is_found_whole() {
    explore(|| {
        let spare = Arc::new(Spare::new());
        let other = {
            let spare = spare.clone();
            thread::spawn(move || spare.keep(region(1)))
        };
        let taken = take(&spare);
        other.join().unwrap();
        assert_eq!(taken.or_else(|| take(&spare)), Some(1));
    });
}

/// A second one, after the first was taken out, is there until somebody takes it.
#[test]
fn a_second_region_is_not_lost() {
    explore(|| {
        let spare = Arc::new(Spare::new());
        spare.keep(region(1));
        let other = {
            let spare = spare.clone();
            thread::spawn(move || spare.keep(region(2)))
        };
        assert_eq!(take(&spare), Some(1));
        other.join().unwrap();
        // The second one did not find room if it came first.
        let is_kept = spare.size.load(Ordering::Relaxed) != 0;
        assert_eq!(take(&spare), is_kept.then_some(2));
    });
}
