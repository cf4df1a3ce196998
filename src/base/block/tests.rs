use core::num::NonZeroUsize;
use std::vec::Vec;

use super::*;

fn block(address: usize) -> Block {
    // SAFETY: made up, and this test's alone.
    unsafe { Block::from_address(NonZeroUsize::new(address).unwrap()) }
}

fn some(addresses: &[usize]) -> Blocks {
    let mut blocks = Blocks::default();
    addresses.iter().for_each(|address| blocks.add(block(*address)));
    blocks
}

#[test]
fn blocks_come_out_the_last_first() {
    let mut blocks = some(&[64, 128, 192]);
    assert_eq!(blocks.addresses(), [64, 128, 192]);
    assert_eq!(blocks.remove(), Some(block(192)));
    blocks.add(block(256));
    let out: Vec<_> = core::iter::from_fn(|| blocks.remove()).map(|block| block.address()).collect();
    assert_eq!((&out[..], blocks.addresses()), (&[256, 128, 64][..], &[][..]));
}

#[test]
fn those_that_are_taken_leave_no_gap() {
    let all = [64, 128, 192, 256, 320];
    for taken in [&[][..], &[64], &[320], &[128, 192], &[64, 192, 320], &all] {
        let (mut blocks, mut seen) = (some(&all), Vec::new());
        blocks.take_if(|address| {
            seen.push(address);
            taken.contains(&address)
        });
        let kept: Vec<usize> = all.into_iter().filter(|address| !taken.contains(address)).collect();
        assert_eq!((blocks.addresses(), &seen[..]), (&kept[..], &all[..]), "{taken:?} are taken");
    }
}

#[test]
fn several_are_moved_at_once() {
    let mut blocks = some(&[64, 128]);
    // SAFETY: there is room; the first three are blocks then.
    unsafe {
        blocks.as_mut_ptr().add(2).write(192);
        blocks.set_count(3);
    }
    assert_eq!(blocks.addresses(), [64, 128, 192]);
    // SAFETY: fewer than there were.
    unsafe { blocks.set_count(1) };
    assert_eq!((blocks.remove(), blocks.remove()), (Some(block(64)), None));
}
