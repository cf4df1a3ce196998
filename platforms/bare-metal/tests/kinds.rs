//! Several kinds of memory under one heap: where blocks come from, and where they grow.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use coreheap_bare::coreheap::SmallHeap;
use coreheap_bare::coreheap::sources::FixedRegion;
use coreheap_bare::{Kind, Memory, MixedHeap};

const KIB: usize = 1024;

#[test]
fn memory_can_be_asked_for_by_its_kind() {
    const BATTERY: Kind = Kind::own(0);
    let mut parts = [[0u64; 512]; 3];
    // SAFETY: memory of the test's own, which outlives the heap.
    let [slow, fast, kept] = parts.each_mut().map(|part| unsafe { FixedRegion::over(part.as_mut_ptr().cast(), 4 * KIB) });
    let heap = MixedHeap::new([
        Memory::new(Kind::EXTERNAL, slow),
        Memory::new(Kind::FAST | Kind::DMA, fast),
        Memory::new(BATTERY | Kind::DMA, kept),
    ]);
    let home = |block: NonNull<u8>| heap.of(Kind::ANY).position(|part| part.contains(block.as_ptr()));
    let layout = Layout::new::<[u8; 1000]>();
    assert_eq!(home(heap.allocate(Kind::ANY, layout).expect("room")), Some(0), "the first in order");
    let block = heap.allocate(Kind::FAST, layout).expect("room");
    assert_eq!(home(block), Some(1));
    assert_eq!(home(heap.allocate(BATTERY, layout).expect("room")), Some(2));
    assert_eq!(heap.allocate(Kind::FAST | BATTERY, layout), None, "no memory is both");
    let in_fast = std::iter::from_fn(|| heap.allocate(Kind::DMA, layout)).map(home).collect::<Vec<_>>();
    assert_eq!(in_fast, [Some(1), Some(1), Some(2), Some(2)], "one after the other, and none elsewhere");
    // SAFETY: blocks of this heap, with their layouts.
    unsafe {
        block.write_bytes(7, 1000);
        assert_eq!(heap.reallocate(Kind::FAST, block, layout, 2000), None, "fast memory is full, and no other is fast");
        let elsewhere = std::iter::from_fn(|| NonNull::new(heap.alloc(layout))).collect::<Vec<_>>();
        assert_eq!(elsewhere.iter().map(|block| home(*block)).collect::<Vec<_>>(), [Some(0), Some(0)]);
        elsewhere.into_iter().for_each(|block| heap.deallocate(block, layout));
        heap.dealloc(block.as_ptr(), layout);
        let grown = heap.alloc(layout);
        assert_eq!(home(NonNull::new(grown).expect("room")), Some(0));
        grown.write_bytes(9, 1000);
        let grown = heap.realloc(grown, layout, 2500);
        assert_eq!((home(NonNull::new(grown).expect("room")), grown.read(), grown.add(999).read()), (Some(0), 9, 9));
    }
    heap.of(Kind::ANY).for_each(SmallHeap::assert_valid);
    assert!(heap.of(Kind::ANY).all(|part| part.stats().misuses == 0));
    if !cfg!(debug_assertions) {
        let elsewhere = NonNull::from(&mut [0u8; 1000]).cast();
        // SAFETY: misuse on purpose; a heap that sees it touches nothing.
        assert_eq!(unsafe { heap.reallocate(Kind::ANY, elsewhere, layout, 2000) }, None);
        assert_eq!(heap.of(Kind::ANY).map(|part| part.stats().misuses).sum::<usize>(), 1, "seen once, and no block for it");
    }
}

/// Memory of the test's own, which outlives the heap.
fn over(memory: &mut [u64]) -> FixedRegion {
    // SAFETY: as said.
    unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(memory)) }
}

#[test]
fn a_block_of_no_kind_grows_out_of_the_first_memory() {
    let (mut small, mut big) = (vec![0u64; 2 * KIB], vec![0u64; 64 * KIB]);
    for is_small_first in [true, false] {
        let (fast, external) = (Memory::new(Kind::FAST, over(&mut small)), Memory::new(Kind::EXTERNAL, over(&mut big)));
        let heap = MixedHeap::new(if is_small_first { [fast, external] } else { [external, fast] });
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        let mut size = 64;
        // SAFETY: a block of this heap, with its layout.
        unsafe {
            let mut block = heap.alloc(layout(size));
            block.write_bytes(7, size);
            while size < 256 * KIB {
                block = heap.realloc(block, layout(size), 2 * size);
                assert!(!block.is_null(), "{} bytes, while half of the external memory is free", 2 * size);
                let old = std::slice::from_raw_parts(block, size);
                assert!(old.iter().all(|byte| *byte == 7), "its contents come along");
                size *= 2;
                block.write_bytes(7, size);
            }
            heap.dealloc(block, layout(size));
        }
        assert!(heap.of(Kind::ANY).all(|part| (part.stats().used, part.stats().misuses) == (0, 0)), "nothing stays behind");
    }
}

#[test]
fn a_block_that_grows_is_of_the_kind_that_is_asked_for() {
    let mut parts = [[0u64; 512]; 3];
    let [plain, fast, device] = parts.each_mut().map(|part| over(part));
    let heap = MixedHeap::new([
        Memory::new(Kind::ANY, plain),
        Memory::new(Kind::FAST | Kind::DMA, fast),
        Memory::new(Kind::DMA, device),
    ]);
    let home = |block: NonNull<u8>| heap.of(Kind::ANY).position(|part| part.contains(block.as_ptr()));
    let layouts = [1000, 3000, 3500, 3000].map(|size| Layout::from_size_align(size, 8).expect("a layout"));
    // SAFETY: blocks of this heap, with their layouts.
    unsafe {
        let block = heap.allocate(Kind::ANY, layouts[0]).expect("room");
        block.write(7);
        let block = heap.reallocate(Kind::DMA, block, layouts[0], 3000).expect("room");
        assert_eq!((home(block), block.read()), (Some(1), 7), "plain memory is not for devices");
        let other = heap.allocate(Kind::FAST, layouts[0]);
        assert_eq!(other, None, "fast memory is full");
        let wall = heap.allocate(Kind::FAST, Layout::new::<[u8; 100]>()).expect("room");
        let block = heap.reallocate(Kind::DMA, block, layouts[1], 3500).expect("room");
        assert_eq!((home(block), block.read()), (Some(2), 7), "it need not be fast");
        assert_eq!(heap.reallocate(Kind::DMA, block, layouts[2], 4050), None, "there is no such memory with so much room");
        let block = heap.reallocate(Kind::ANY, block, layouts[2], 3000).expect("it shrinks");
        assert_eq!(home(block), Some(2), "in place");
        heap.deallocate(block, layouts[3]);
        heap.deallocate(wall, Layout::new::<[u8; 100]>());
    }
    assert!(heap.of(Kind::ANY).all(|part| (part.stats().used, part.stats().misuses) == (0, 0)));
}
