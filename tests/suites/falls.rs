//! Memory goes back as it is freed where use falls to half, wherever the blocks lie that were freed.

use std::ptr::NonNull;

use coreheap::{Heap, TryFlag};
use coreheap_tests::blocks::layout;
use coreheap_tests::cores::{Chosen, choose_core};
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::sources::{COMMITS, DECOMMITS, TestSource};

const MIB: usize = 1 << 20;
const BLOCK: usize = 1024;

type TwoCores = Heap<TestSource<{ COMMITS | DECOMMITS }>, TryFlag<Chosen, 2>, Hosted>;

/// A heap whose clock shows a time, with 16 MiB of blocks by page.
fn filled() -> (TwoCores, Vec<Vec<NonNull<u8>>>) {
    let heap = TwoCores::new(TestSource::new(&[32 * MIB]), TryFlag::new());
    heap.source().advance_ms(1000);
    // Both cores get their core heaps.
    choose_core(1);
    free(&heap, heap.allocate(layout(BLOCK)));
    choose_core(0);
    let mut blocks: Vec<_> = (0..16 * MIB / BLOCK).map(|_| heap.allocate(layout(BLOCK)).expect("room")).collect();
    blocks.sort();
    let pages = blocks.chunk_by(|one, next| next.addr().get() - one.addr().get() == BLOCK).flat_map(|run| run.chunks(64));
    let pages = pages.map(<[_]>::to_vec).collect();
    (heap, pages)
}

fn free(heap: &TwoCores, blocks: impl IntoIterator<Item = NonNull<u8>>) {
    // SAFETY: live blocks of this heap, of this size.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(BLOCK)) });
}

#[test]
#[cfg_attr(miri, ignore = "many blocks")]
fn what_other_cores_hold_back_is_looked_for() {
    let (heap, mut pages) = filled();
    let committed = || heap.stats().committed;
    // One block of each of the last pages is ready on the other core, so none of these pages is empty.
    choose_core(1);
    let kept = pages.len() - 60;
    free(&heap, pages[kept..].iter_mut().filter_map(Vec::pop));
    choose_core(0);
    free(&heap, pages.drain(kept..).flatten());
    assert!(committed() > 16 * MIB, "{} bytes", committed());
    free(&heap, pages.into_iter().flatten());
    // At half of the use these pages were emptied; the rest of what was in use then stays.
    assert!(committed() < 6 * MIB, "{} bytes", committed());
    heap.assert_valid();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks")]
fn a_source_that_takes_nothing_back_is_not_asked_with_each_free() {
    let (heap, pages) = filled();
    let refusals = heap.source().refusals();
    refusals.refuse_every(Call::Decommit, 1);
    free(&heap, pages.into_iter().flatten());
    let calls = refusals.calls(Call::Decommit);
    assert!((1..200).contains(&calls), "{calls} calls");
    heap.assert_valid();
}
