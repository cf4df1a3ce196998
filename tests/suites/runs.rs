//! What a heap says lies where: all of each region, once, and what the program put there.

use std::alloc::Layout;
use std::ptr::NonNull;

use coreheap::{Content, Geometry, Heap, Run, SingleCore};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Small;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{COMMITS, DECOMMITS, GROWS, TestSource};

type TestHeap<const ABILITIES: u32> = Heap<TestSource<ABILITIES>, SingleCore, Small>;

/// A block that the program has.
type Held = (NonNull<u8>, Layout);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// How many blocks of a size.
const COUNT: usize = if cfg!(miri) { 5 } else { 20 };
/// Bytes of a region.
const SIZE: usize = if cfg!(miri) { 48 << 10 } else { 96 << 10 };

/// Some blocks of every third size, and some large ones.
fn fill<const ABILITIES: u32>(heap: &TestHeap<ABILITIES>) -> Vec<Held> {
    let sizes = (1..Small::MAX_BLOCK).step_by(Small::MAX_BLOCK / 5).flat_map(|size| [size; COUNT]);
    let large = [1, 3].map(|slices| Small::MAX_BLOCK + slices * Small::SLICE_SIZE);
    let take = |size| Some((heap.allocate(layout(size))?, layout(size)));
    sizes.chain(large).map(|size| take(size).expect("room")).collect()
}

fn free<const ABILITIES: u32>(heap: &TestHeap<ABILITIES>, held: Vec<Held>) {
    // SAFETY: blocks of this heap.
    held.into_iter().for_each(|(block, layout)| unsafe { heap.deallocate(block, layout) });
}

fn bytes_of(runs: &[Run], is_wanted: impl Fn(Content) -> bool) -> usize {
    runs.iter().filter(|run| is_wanted(run.content)).map(|run| run.size).sum()
}

/// Compares what lies where with the heap report, which counts in another way.
fn check<const ABILITIES: u32>(heap: &TestHeap<ABILITIES>) -> Vec<Run> {
    let (runs, stats) = (heap.runs().collect::<Vec<_>>(), heap.stats());
    assert!(runs.iter().all(|run| run.size > 0));
    let gaps = runs.windows(2).filter(|pair| pair[0].start + pair[0].size != pair[1].start).count();
    let total = bytes_of(&runs, |_| true);
    assert!(gaps <= 1, "two regions, and in each one run begins where the one before ends");
    assert!(total <= stats.reserved && total + 3 * Small::SLICE_SIZE > stats.reserved, "{total} of {}", stats.reserved);
    assert_eq!(bytes_of(&runs, |content| content == Content::Metadata), stats.metadata);
    assert_eq!(bytes_of(&runs, |content| content == Content::Large), stats.large.1);
    assert_eq!(
        bytes_of(&runs, |content| content == Content::Free { committed: false }),
        stats.reserved - stats.committed - (stats.reserved - total)
    );
    for class in stats.classes() {
        let of_class = |run: &Run| match run.content {
            Content::Page { block_size, blocks, taken, .. } if block_size == class.block_size => Some((blocks, taken)),
            _ => None,
        };
        let counts: Vec<_> = runs.iter().filter_map(of_class).collect();
        assert_eq!(counts.len(), class.pages);
        assert_eq!(counts.iter().map(|(blocks, _)| blocks).sum::<usize>(), class.blocks);
        assert_eq!(counts.iter().map(|(_, taken)| taken).sum::<usize>(), class.used + class.in_magazines);
    }
    runs
}

fn with_abilities<const ABILITIES: u32>() {
    let source = TestSource::new(&[SIZE, SIZE]);
    let source = if ABILITIES & GROWS != 0 { source.giving_at_first(SIZE / 3) } else { source };
    let heap = TestHeap::<ABILITIES>::new(source, single_core());
    assert_eq!(heap.runs().count(), 0, "nothing is there before it is needed");
    let held = fill(&heap);
    let runs = check(&heap);
    for (block, layout) in &held {
        let address = block.addr().get();
        let run = runs.iter().find(|run| (run.start..run.start + run.size).contains(&address)).expect("a run has it");
        match run.content {
            Content::Page { block_size, taken, .. } => {
                assert!(taken > 0 && block_size >= layout.size());
                assert_eq!(Some(block_size), heap.usable_size(block.as_ptr()));
                assert!((address - run.start).is_multiple_of(block_size));
            }
            Content::Large => assert_eq!((run.start, Some(run.size)), (address, heap.usable_size(block.as_ptr()))),
            other => panic!("a block of {} bytes lies in {other:?}", layout.size()),
        }
    }
    let is_current = |run: &&Run| matches!(run.content, Content::Page { core: Some(_), .. });
    assert!(runs.iter().any(|run| is_current(&run)), "the last page that was opened is the core's");
    free(&heap, held);
    check(&heap);
    heap.purge();
    let runs = check(&heap);
    assert!(runs.iter().all(|run| matches!(run.content, Content::Metadata | Content::Free { .. })), "all is free again");
    let is_resident = bytes_of(&runs, |content| content == Content::Free { committed: true }) > 0;
    assert_eq!(is_resident, ABILITIES & DECOMMITS == 0, "and given back, if the source takes it");
}

/// Gaps of every length come and go, one slice among them.
fn while_blocks_come_and_go<const ABILITIES: u32>() {
    let heap = TestHeap::<ABILITIES>::new(TestSource::new(&[SIZE, SIZE]), single_core());
    let (mut rng, mut held) = (Rng::new(7), Vec::new());
    for step in 0..2000 {
        let size = [1 + rng.below(Small::MAX_BLOCK), 1 + rng.below(4 * Small::SLICE_SIZE)][step % 2];
        match heap.allocate(layout(size)) {
            Some(block) if held.len() < 60 => held.push((block, layout(size))),
            block => {
                free(&heap, block.map(|block| (block, layout(size))).into_iter().collect());
                let at = rng.below(held.len());
                let end = held.len().min(at + 10);
                free(&heap, held.drain(at..end).collect());
            }
        }
        if step % 50 == 0 {
            heap.purge();
        }
        if step % 5 == 0 {
            check(&heap);
        }
    }
    free(&heap, held);
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn they_are_what_the_report_counts_while_blocks_come_and_go() {
    while_blocks_come_and_go::<0>();
    while_blocks_come_and_go::<{ COMMITS | DECOMMITS }>();
}

#[test]
fn they_are_what_the_report_counts() {
    with_abilities::<0>();
}

#[test]
fn they_say_what_was_given_back() {
    with_abilities::<{ COMMITS | DECOMMITS }>();
}

#[test]
fn they_follow_a_region_that_grows() {
    with_abilities::<GROWS>();
}
