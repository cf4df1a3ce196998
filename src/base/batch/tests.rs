use std::vec::Vec;

use super::*;

/// Blocks of 48 bytes, whose reciprocal is no whole number.
const SIZE: usize = 48;
const START: usize = 4096;

#[test]
fn blocks_of_a_word_are_known_by_their_starts() {
    let blocks = WordBlocks::new(START, 5, SIZE, reciprocal(SIZE));
    for block in 0..5 {
        let start = START + block * SIZE;
        assert_eq!(blocks.bit(start), Some(Ok(block)));
        assert_eq!((blocks.bit(start + 1), blocks.bit(start + SIZE - 1)), (Some(Err(())), Some(Err(()))), "inside block {block}");
    }
    for outside in [0, START - SIZE, START - 1, START + 5 * SIZE, START + 6 * SIZE, usize::MAX] {
        assert_eq!(blocks.bit(outside), None, "{outside:#x}");
    }
}

#[test]
fn a_batch_moves_what_there_is_room_for() {
    let mut blocks = Blocks::new();
    for block in 0..Blocks::CAPACITY - 2 {
        Batch::new(START + block * SIZE, SIZE, 1).move_to(&mut blocks);
    }
    let mut batch = Batch::new(3 * START, SIZE, 0b1_0110);
    batch.move_to(&mut blocks);
    let moved: Vec<usize> = blocks.addresses()[Blocks::CAPACITY - 2..].to_vec();
    assert_eq!(moved, [3 * START + SIZE, 3 * START + 2 * SIZE], "the lowest");
    assert_eq!(batch.into_bits(), (3 * START, 0b1_0000));
}
