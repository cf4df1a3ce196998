use std::vec::Vec;

use super::*;

/// Stands for a block.
fn block(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number * 0x1000).expect("not 0")
}

fn allowed(limit: usize) -> Ready {
    let ready = Ready::new();
    ready.set_limit(limit);
    ready
}

#[test]
fn two_blocks_of_each_size_are_ready() {
    let ready = allowed(MAX_READY);
    for size in (GRANULE..=MAX_READY).step_by(GRANULE) {
        // Sizes of as many granules are one.
        assert_eq!([ready.put(size, block(size)), ready.put(size - 7, block(size + 1))], [None; 2], "{size}");
    }
    assert_eq!(ready.blocks().count(), 2 * MAX_READY / GRANULE);
    for size in (GRANULE..=MAX_READY).step_by(GRANULE) {
        let mut taken = [size - 7, size].map(|size| ready.take(size));
        taken.sort();
        assert_eq!(taken, [Some(block(size)), Some(block(size + 1))], "{size}");
        assert_eq!([ready.take(size), ready.take(size)], [None; 2], "{size}");
    }
}

#[test]
fn one_block_goes_home_for_each_that_is_too_much() {
    let ready = allowed(MAX_READY);
    let home: Vec<_> = (1..=5).filter_map(|number| ready.put(24, block(number))).collect();
    assert_eq!(home.len(), 3);
    let mut all: Vec<_> = home.into_iter().chain([(); 2].into_iter().filter_map(|()| ready.take(24))).collect();
    all.sort();
    assert_eq!(all, [1, 2, 3, 4, 5].map(block));
}

#[test]
fn blocks_above_the_limit_go_home() {
    let ready = Ready::new();
    assert_eq!(ready.put(1, block(1)), Some(block(1)), "none may be ready at first");
    for (limit, most) in [(0, 0), (1, 1), (100, 100), (MAX_READY, 256), (1000, 256), (usize::MAX, 256), (7, 7)] {
        ready.set_limit(limit);
        for size in [1, 2, 7, 8, 9, 99, 100, 101, 255, 256, 257, 264, 1 << 20, usize::MAX] {
            assert_eq!(ready.put(size, block(1)), (size > most).then_some(block(1)), "{size} of {limit}");
            assert_eq!(ready.take(size), (size <= most).then_some(block(1)), "{size} of {limit}");
        }
        assert_eq!((ready.put(0, block(1)), ready.take(0)), (Some(block(1)), None), "blocks of size 0 are never ready");
    }
}

#[test]
fn blocks_that_are_ready_are_taken_when_no_more_may_be() {
    let ready = allowed(50);
    assert_eq!(ready.put(50, block(1)), None);
    ready.set_limit(0);
    assert_eq!((ready.put(50, block(2)), ready.take(50)), (Some(block(2)), Some(block(1))));
}

#[test]
fn all_are_drained_each_with_its_size() {
    let ready = allowed(MAX_READY);
    let blocks = [(1, 8), (2, 8), (3, 24), (4, 250), (5, 256)];
    blocks.into_iter().for_each(|(number, size)| assert_eq!(ready.put(size, block(number)), None));
    let expected = [(1, 8), (2, 8), (3, 24), (4, 256), (5, 256)].map(|(number, size)| (block(number), size));
    let mut seen: Vec<_> = ready.blocks().collect();
    let mut drained: Vec<_> = ready.drain().collect();
    seen.sort();
    drained.sort();
    assert_eq!((seen, drained), (expected.to_vec(), expected.to_vec()));
    assert_eq!((ready.blocks().count(), ready.drain().count(), ready.take(8)), (0, 0, None));
}
