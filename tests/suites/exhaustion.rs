//! Running dry: nothing is refused that could be had, nothing is lost, and everything comes back.

use std::alloc::Layout;
use std::ptr::NonNull;

use coreheap::sources::FixedRegion;
use coreheap::{Compact, CoreLocal, Geometry, Heap, PageSource, SingleCore, Tiny, TryFlag};
use coreheap_tests::cores::{Chosen, choose_core};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::rng::Rng;
use coreheap_tests::seed::each_seed;
use coreheap_tests::sources::TestSource;

const KIB: usize = 1024;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

type Blocks = Vec<(NonNull<u8>, usize)>;

/// Allocates blocks of the sizes that `size` says until one is refused.
fn fill<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, mut size: impl FnMut() -> usize) -> Blocks {
    core::iter::from_fn(|| {
        let size = size();
        let block = heap.allocate(layout(size))?;
        // SAFETY: a fresh block of this size.
        unsafe { block.write_bytes(size as u8, size) };
        Some((block, size))
    })
    .collect()
}

/// Frees blocks in random order, after a look at their contents.
fn free<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, mut blocks: Blocks, rng: &mut Rng) {
    while !blocks.is_empty() {
        let (block, size) = blocks.swap_remove(rng.below(blocks.len()));
        // SAFETY: live, of this size, and forgotten now.
        unsafe {
            assert!([0, size / 2, size - 1].iter().all(|at| block.add(*at).read() == size as u8));
            heap.deallocate(block, layout(size));
        }
    }
}

fn bytes(blocks: &Blocks) -> usize {
    blocks.iter().map(|(_, size)| size).sum()
}

/// Lets each core make its core heap while there is room.
fn warm_up<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>) {
    for core in 0..heap.cores().core_count() {
        choose_core(core);
        // Of a class that no other core has in its magazine.
        let layout = layout(8 + core * 8);
        let block = heap.allocate(layout).unwrap();
        // SAFETY: allocated just now.
        unsafe { heap.deallocate(block, layout) };
    }
    choose_core(0);
    heap.purge();
}

/// Fills the heap with small, mixed and large blocks, frees them in random order, and sees whether the largest block that fitted
/// into the fresh heap still fits.
fn whole_region_again<C: CoreLocal, G: Geometry>(name: &str, size: usize, cores: impl Fn() -> C) {
    each_seed(name, 16, |_, mut rng| {
        let heap = Heap::<_, C, G>::new(TestSource::<0>::new(&[size]), cores());
        warm_up(&heap);
        let (whole, metadata) = (heap.stats().largest_free_run, heap.stats().metadata);
        for round in 0..if cfg!(miri) { 1 } else { 3 } {
            choose_core(round);
            let small = rng.below(200) + if cfg!(miri) { 200 } else { 8 };
            let mut blocks = fill(&heap, || small);
            assert!(bytes(&blocks) > whole / 2, "{} of {whole} bytes in blocks of {small}", bytes(&blocks));
            let kept = blocks.split_off(blocks.len() * rng.below(4) / 3);
            free(&heap, blocks, &mut rng);
            let mut mix = rng.clone();
            let mixed = fill(&heap, || 1 + mix.below(whole / if cfg!(miri) { 20 } else { 50 }));
            choose_core(round + 1);
            free(&heap, mixed, &mut rng);
            free(&heap, kept, &mut rng);
        }
        heap.assert_valid();
        assert_eq!(heap.stats().used, 0);
        heap.purge();
        let stats = heap.stats();
        // Page headers that were made on the way stay. Those that were made when nearly everything was in use lie where there
        // happened to be room, but those that were made before must not cut the region in two.
        let kept = stats.metadata - metadata;
        let free = stats.largest_free_run;
        assert!(free + kept + whole / 2 >= whole, "{free} of {whole} bytes in one run, {kept} more of metadata");
        assert!(kept <= whole / 8, "{kept} of {whole} bytes became metadata");
        let all = heap.allocate(layout(stats.largest_free_run)).expect("the whole region as one block");
        // SAFETY: allocated just now.
        unsafe { heap.deallocate(all, layout(stats.largest_free_run)) };
    });
}

#[test]
fn tiny_whole_region_again() {
    whole_region_again::<SingleCore, Tiny>("tiny_whole_region_again", 16 * KIB, single_core);
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn compact_whole_region_again() {
    whole_region_again::<SingleCore, Compact>("compact_whole_region_again", 300 * KIB + 77, single_core);
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn server_whole_region_again() {
    whole_region_again::<SingleCore, Hosted>("server_whole_region_again", 2048 * KIB, single_core);
}

#[test]
fn server_whole_region_again_by_four_cores() {
    whole_region_again::<TryFlag<Chosen, 4>, Hosted>(
        "server_whole_region_again_by_four_cores",
        if cfg!(miri) { 32 * KIB } else { 3000 * KIB },
        TryFlag::new,
    );
}

/// Fills the heap, frees some blocks on one core each, so that they lie in its magazine, and wants them back on another one.
fn in_other_magazines(size: usize, other_size: impl Fn(usize) -> usize) {
    const CORES: usize = if cfg!(miri) { 2 } else { 4 };
    // Core heaps are an eighth of it at most.
    let source = TestSource::<0>::new(&[if cfg!(miri) { 40 * KIB } else { 4000 * KIB }]);
    let heap = Heap::<_, TryFlag<Chosen, CORES>, Hosted>::new(source, TryFlag::new());
    warm_up(&heap);
    for core in 0..CORES {
        choose_core(core);
        let block = heap.allocate(layout(size)).unwrap();
        // SAFETY: allocated just now.
        unsafe { heap.deallocate(block, layout(size)) };
    }
    choose_core(0);
    heap.purge();
    let other_size = other_size(heap.stats().largest_free_run);
    let mut blocks = fill(&heap, || size);
    assert!(heap.allocate(layout(size)).is_none());
    for core in 1..CORES {
        choose_core(core);
        let (block, _) = blocks.pop().unwrap();
        // SAFETY: a live block of this size.
        unsafe { heap.deallocate(block, layout(size)) };
        let magazines = |heap: &Heap<_, _, Hosted>| heap.stats().classes().map(|class| class.in_magazines).sum::<usize>();
        assert_eq!(magazines(&heap), 1, "the block lies in the magazine of core {core}");
        choose_core(core + 1);
        blocks.push((heap.allocate(layout(size)).expect("a free block lies in another core's magazine"), size));
        assert!(heap.allocate(layout(size)).is_none());
        // SAFETY: the fresh block.
        unsafe { blocks.last().unwrap().0.write_bytes(size as u8, size) };
    }
    // All blocks of this size are freed by all cores; then a block of another size must find room.
    let mut rng = Rng::new(1);
    for (index, part) in blocks.chunks(if cfg!(miri) { 10 } else { 50 }).enumerate() {
        choose_core(index);
        free(&heap, part.to_vec(), &mut rng);
    }
    choose_core(2);
    let other = heap.allocate(layout(other_size)).expect("every page is empty, but for what lies in magazines");
    // SAFETY: allocated just now.
    unsafe { heap.deallocate(other, layout(other_size)) };
    heap.assert_valid();
}

#[test]
fn blocks_in_other_cores_magazines_are_found_before_null() {
    in_other_magazines(1000, |_| 24);
    if cfg!(miri) {
        return;
    }
    in_other_magazines(64, |_| 4000);
    in_other_magazines(8000, |_| 300);
}

/// A core that comes when memory is full has no room for a core heap, but is served, and leaves alone what is ready on others.
#[test]
#[cfg_attr(miri, ignore = "core heaps are so small there that there is always room for one")]
fn a_core_that_comes_late_reclaims_nothing_for_itself() {
    let heap = Heap::<_, TryFlag<Chosen, 4>, Hosted>::new(TestSource::<0>::new(&[1000 * KIB]), TryFlag::new());
    choose_core(0);
    let mut blocks = fill(&heap, || 500);
    let mut free_one = || {
        let (block, size) = blocks.pop().unwrap();
        // SAFETY: a live block of this size.
        unsafe { heap.deallocate(block, layout(size)) };
    };
    free_one();
    choose_core(2);
    let in_magazines = || heap.stats().classes().map(|class| class.in_magazines).sum::<usize>();
    let calls = || heap.source().refusals().calls(Call::Reserve);
    let before = calls();
    for _ in 0..10 {
        free_one();
    }
    assert_eq!((in_magazines(), calls()), (1, before), "frees");
    let blocks: Vec<_> = (0..10).map(|_| heap.allocate(layout(500)).unwrap()).collect();
    assert_eq!(in_magazines(), 1, "allocations");
    assert!(calls() <= before + 20, "each may ask the source for a core heap, once with room to align it, and once without");
    // SAFETY: allocated just now.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(500)) });
}

#[test]
fn magazines_are_drained_for_a_large_block() {
    in_other_magazines(if cfg!(miri) { 1000 } else { 3000 }, |largest| largest / 8 * 7);
    if cfg!(miri) {
        return;
    }
    in_other_magazines(64, |largest| largest / 8 * 7);
}

#[test]
fn an_exhausted_heap_asks_its_source_again() {
    const BLOCK: usize = if cfg!(miri) { 1000 } else { 500 };
    let source = TestSource::<0>::new(if cfg!(miri) { &[20 * KIB, 30 * KIB] } else { &[200 * KIB, 300 * KIB] });
    let heap = Heap::<_, SingleCore, Compact>::new(source, single_core());
    let mut blocks = fill(&heap, || BLOCK);
    assert_eq!(heap.source().regions_out(), 2);
    let asked = heap.source().refusals().calls(Call::Reserve);
    assert!(heap.allocate(layout(BLOCK)).is_none());
    assert!(heap.source().refusals().calls(Call::Reserve) > asked, "a source may have more tomorrow");
    let (block, _) = blocks.swap_remove(blocks.len() / 2);
    // SAFETY: a live block of this size.
    unsafe { heap.deallocate(block, layout(BLOCK)) };
    let asked = heap.source().refusals().calls(Call::Reserve);
    assert_eq!(heap.allocate(layout(BLOCK)), Some(block), "the only free one");
    assert_eq!(heap.source().refusals().calls(Call::Reserve), asked, "without asking");
    blocks.push((block, BLOCK));
    // SAFETY: the fresh block.
    unsafe { block.write_bytes(BLOCK as u8, BLOCK) };
    free(&heap, blocks, &mut Rng::new(2));
    heap.assert_valid();
}

#[test]
fn endless_use_needs_no_more_memory() {
    fn check<G: Geometry>(size: usize) {
        let heap = Heap::<_, SingleCore, G>::new(TestSource::<0>::new(&[size, size, size]), single_core());
        let mut rng = Rng::new(3);
        let mut blocks = Blocks::new();
        for _ in 0..if cfg!(miri) { 40 } else { 100_000 } {
            if blocks.len() < 20 {
                let size = 1 + rng.below(size / 200);
                let block = heap.allocate(layout(size)).expect("a tenth of the memory is in use");
                // SAFETY: the fresh block.
                unsafe { block.write_bytes(size as u8, size) };
                blocks.push((block, size));
            } else {
                let one = blocks.swap_remove(rng.below(blocks.len()));
                free(&heap, vec![one], &mut rng);
            }
        }
        free(&heap, blocks, &mut rng);
    }
    check::<Hosted>(if cfg!(miri) { 32 * KIB } else { 16 << 20 });
    check::<Compact>(if cfg!(miri) { 64 * KIB } else { 512 * KIB });
    check::<Tiny>(32 * KIB);
}

/// How much of 16 KiB a program can have: what README and crate documentation may promise.
#[test]
fn sixteen_kib_are_of_use() {
    #[repr(align(16))]
    struct Memory([u8; 16 * KIB]);
    let mut memory = Box::new(Memory([0; 16 * KIB]));
    let start = memory.0.as_mut_ptr();
    let mut best = usize::MAX;
    let sizes = [8, 16, 24, 32, 48, 64, 100, 128, 200, 256, 500, 512, 1000, 4000];
    for size in sizes.into_iter().skip(if cfg!(miri) { 11 } else { 0 }) {
        // SAFETY: each heap is dropped before the next one is made.
        let heap = Heap::<_, SingleCore, Tiny>::new(unsafe { FixedRegion::over(start, 16 * KIB) }, single_core());
        let blocks = fill(&heap, || size);
        let (live, metadata) = (bytes(&blocks), heap.stats().metadata);
        println!("16 KiB hold {:5} blocks of {size:4} bytes: {live:5} bytes live, {metadata:4} of metadata", blocks.len());
        if (16..=512).contains(&size) {
            best = best.min(live);
        }
        free(&heap, blocks, &mut Rng::new(4));
        heap.assert_valid();
    }
    println!("at least {best} of {} bytes can be live in blocks of 16 to 512 bytes", 16 * KIB);
    assert!(best >= 10 * KIB, "only {best} bytes of 16 KiB can be live");
}

/// A page of 256-byte blocks has 2 KiB, if there are 2 KiB.
#[test]
fn the_last_slices_are_a_page_of_one_block() {
    let heap = Heap::<_, SingleCore, Tiny>::new(TestSource::<0>::new(&[16 * KIB]), single_core());
    warm_up(&heap);
    let mut large = fill(&heap, || 640);
    let last = large.pop().into_iter().collect();
    free(&heap, last, &mut Rng::new(1));
    let block = heap.allocate(layout(256)).expect("640 bytes are enough");
    heap.assert_valid();
    // SAFETY: allocated just now.
    unsafe { heap.deallocate(block, layout(256)) };
    free(&heap, large, &mut Rng::new(2));
    assert!(heap.allocate(layout(8 * KIB)).is_some(), "the slices are free again");
}

#[test]
fn the_smallest_memory_of_use() {
    let smallest = (64..16 * KIB).step_by(if cfg!(miri) { 640 } else { 64 }).find(|size| {
        let heap = Heap::<_, SingleCore, Tiny>::new(TestSource::<0>::new(&[*size]), single_core());
        heap.allocate(layout(16)).is_some()
    });
    println!("a heap of Tiny geometry needs {} bytes for its first block", smallest.unwrap());
    assert!(smallest.unwrap() <= 4 * KIB);
}
