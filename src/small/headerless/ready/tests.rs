use std::vec::Vec;

use super::*;
use crate::source::sources::FixedRegion;

#[test]
fn a_few_blocks_of_each_size_are_ready_while_that_is_allowed() {
    let mut memory = [0usize; 64 * LISTS];
    let start = memory.as_mut_ptr();
    // SAFETY: memory that stays until the end of this function.
    let source = unsafe { FixedRegion::over(start.cast(), size_of_val(&memory)) };
    let words = Words(&source);
    let block = |number: usize| (start.addr() + number * LISTS * GRANULE).next_multiple_of(GRANULE);
    let mut ready = Ready::new();
    assert!(!ready.put(words, block(0), LEAST), "not yet allowed");
    ready.allow(true);
    let longest = LISTS * GRANULE;
    let puts = [0, 1, 2, 3].map(|number| ready.put(words, block(number), longest));
    assert_eq!(puts, [true, true, true, false], "a list is short");
    assert!(ready.put(words, block(4), 1) && ready.put(words, block(5), GRANULE + 1));
    assert!(!ready.put(words, block(6), longest + 1) && !ready.put(words, block(6), 0), "of no list");
    let mut blocks: Vec<_> = ready.blocks(words).collect();
    blocks.sort();
    let expected = [(0, longest), (1, longest), (2, longest), (4, LEAST), (5, LEAST)].map(|(number, len)| (block(number), len));
    assert_eq!(blocks, expected);
    ready.allow(false);
    let mut take = |size| ready.take(words, size).map(NonZeroUsize::get);
    assert_eq!([take(longest), take(longest - GRANULE + 1)], [Some(block(2)), Some(block(1))], "the newest first");
    assert_eq!([take(longest - GRANULE), take(longest + 1), take(0)], [None; 3], "of other lists");
    assert_eq!([take(GRANULE), take(1), take(2 * GRANULE)], [Some(block(4)), None, Some(block(5))]);
    assert!(!ready.put(words, block(1), longest), "not any more");
    assert_eq!(ready.blocks(words).count(), 1);
    ready.allow(true);
    assert!(ready.put(words, block(1), longest) && ready.put(words, block(2), longest) && !ready.put(words, block(3), longest));
}
