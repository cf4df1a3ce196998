//! What a heap does between the steps of a purge, and which OS pages it gives up.

use std::vec;

use super::alone::TakenOut;
use super::*;
use crate::small::exclusion::Unshared;
use crate::small::words::LINKED;
use crate::source::sources::FixedRegion;

mod asking;
mod edges;

#[test]
fn links_and_sizes_of_free_blocks_keep_their_os_pages() {
    const UNIT: usize = 4096;
    let pages = |block, end| TakenOut::of(block, end - block).pages(UNIT);
    let (block, end) = (UNIT - LINKED, 2 * UNIT + WORD);
    assert_eq!(pages(block, end), Some((UNIT, UNIT)), "the links are before it, and the size is behind it");
    assert_eq!(pages(block + WORD, end), None);
    assert_eq!(pages(block, end - WORD), None);
    assert_eq!(pages(block, end + UNIT), Some((UNIT, 2 * UNIT)));
    assert_eq!(pages(block + UNIT + WORD, end + 2 * UNIT), Some((3 * UNIT, UNIT)));
    assert_eq!(pages(0, 8 * UNIT), Some((UNIT, 6 * UNIT)));
}

/// One block is out at a time; then another context frees its neighbour.
#[test]
fn a_neighbour_may_be_freed_while_a_block_is_out() {
    let mut memory = vec![0u64; 64 * 1024 / 8];
    // SAFETY: memory that stays until the end of this function; one thread.
    let (source, alone) = unsafe { (FixedRegion::over(memory.as_mut_ptr().cast(), 64 * 1024), Unshared::new()) };
    let heap = DenseHeap::<_, _, 0>::new(source, alone);
    let layout = Layout::from_size_align(12 * 1024, 8).expect("a layout");
    for freed in [[0, 1], [2, 1], [2, 3]] {
        let blocks = [(); 5].map(|()| heap.allocate(layout).expect("room"));
        // SAFETY: blocks of this heap.
        let free = |index: usize| unsafe { heap.deallocate(blocks[index], layout) };
        let (out, neighbour) = (freed[0], freed[1]);
        free(out);
        let taken = heap.alone(|mut heap| heap.take_out_next(None)).expect("it has whole OS pages");
        assert_eq!(taken.pages(1).map(|(start, _)| start), Some(block_of(blocks[out].addr().get()) + LINKED));
        free(neighbour);
        heap.assert_valid();
        // What is behind them comes next: the rest of the memory, if that is not joined with them; and then nothing.
        let mut taken = heap.alone(|mut heap| heap.take_out_next(Some(taken)));
        while taken.is_some() {
            taken = heap.alone(|mut heap| heap.take_out_next(taken));
            heap.assert_valid();
        }
        (0..5).filter(|index| !freed.contains(index)).for_each(free);
        heap.assert_valid();
        assert_eq!((heap.stats().used, heap.stats().largest_free_run + WORD), (0, heap.stats().capacity));
    }
}
