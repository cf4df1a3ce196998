use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::shortage::tests::scripted::{Paged, TwoCores, heap, layout};

fn large(heap: &TwoCores, size: usize) -> NonNull<u8> {
    let block = heap.allocate(layout(size)).expect("room");
    assert_eq!(heap.large_size(block.addr().get()), Some(size.next_multiple_of(Paged::SLICE_SIZE)));
    block
}

/// A large block is as long as asked for where it lies; one that becomes small is a block of a page.
#[test]
fn a_large_block_stays_where_it_is() {
    let (heap, _) = heap();
    let mut block = large(&heap, 2000);
    for (old, new) in [(2000, 1000), (1000, 2000), (2000, 2000)] {
        // SAFETY: a live block of this size.
        let resized = unsafe { heap.reallocate(block, layout(old), new) };
        assert_eq!(resized, Some(block), "{old} to {new}");
        assert_eq!(heap.usable_size(block.as_ptr()), Some(new.next_multiple_of(128)));
        // SAFETY: a live block of this heap.
        let resized = unsafe { heap.reallocate_unsized(block, layout(old)) };
        assert_eq!(resized, Some(block), "{new} to {old}");
        assert_eq!(heap.usable_size(block.as_ptr()), Some(old.next_multiple_of(128)));
        // SAFETY: as above.
        assert_eq!(unsafe { heap.reallocate_unsized(block, layout(new)) }, Some(block));
    }
    // SAFETY: as above; what it holds stays.
    unsafe {
        block.write_bytes(0x5a, 2000);
        block = heap.reallocate_unsized(block, layout(100)).expect("room");
        assert!((0..100).all(|index| block.add(index).read() == 0x5a));
        heap.deallocate_unsized(block.as_ptr());
    }
    assert_eq!(heap.arenas.class_of(block.addr().get()), Paged::class_of(100, 1));
}

/// A large block moves if it does not lie at a multiple of what is asked for.
#[test]
fn a_large_block_is_aligned_anew() {
    let (heap, _) = heap();
    let blocks = [(); 3].map(|()| large(&heap, 640));
    let block = *blocks.iter().find(|block| !block.addr().get().is_multiple_of(2048)).expect("one of three");
    let aligned = Layout::from_size_align(640, 2048).unwrap();
    // SAFETY: a live block of this layout.
    unsafe {
        block.write_bytes(0x5a, 640);
        let moved = heap.change_layout(block, layout(640), aligned).expect("room");
        assert!(moved != block && moved.addr().get().is_multiple_of(2048));
        assert!((0..640).all(|index| moved.add(index).read() == 0x5a));
    }
}

/// Only who asks for zeros pays for them.
#[test]
fn memory_is_cleared_where_that_is_asked_for() {
    let (heap, _) = heap();
    for clears in [false, true] {
        let block = large(&heap, 2000);
        // SAFETY: a live block of this size.
        unsafe {
            block.write_bytes(0x5a, 2000);
            heap.deallocate(block, layout(2000));
        }
        let allocate = |layout| if clears { heap.allocate_zeroed(layout) } else { heap.allocate(layout) };
        let again = allocate(layout(2000)).expect("room");
        assert_eq!(again, block);
        // SAFETY: as above; it was written.
        assert!((0..2000).all(|index| unsafe { again.add(index).read() } == if clears { 0 } else { 0x5a }));
    }
}

/// A debug build looks at each free, so none is done without.
#[test]
fn a_block_is_freed_at_once_where_its_magazine_has_room() {
    let (heap, block) = heap();
    let large = large(&heap, 2000);
    let mut other = 0_u64;
    // SAFETY: a live block, and what is none.
    unsafe {
        assert!(!heap.deallocate_ready(core::ptr::null_mut()) && !heap.deallocate_ready(large.as_ptr()));
        assert!(!heap.deallocate_ready((&raw mut other).cast()));
        heap.cores.is_busy.store(true, crate::sync::Ordering::Relaxed);
        assert!(!heap.deallocate_ready(block.as_ptr()), "others have it");
        heap.cores.is_busy.store(false, crate::sync::Ordering::Relaxed);
        let is_ready = heap.arenas.class_of_mapped(block.addr().get()).is_some();
        assert_eq!(heap.deallocate_ready(block.as_ptr()), is_ready && !cfg!(debug_assertions));
    }
}

/// A pointer to no block is reported, and nothing comes of it.
#[test]
fn what_is_no_block_is_not_reallocated() {
    let (heap, block) = heap();
    let mut other = 0_u64;
    for pointer in [NonNull::from(&mut other).cast(), block.map_addr(|address| address.saturating_add(8))] {
        let before = heap.misuses.count();
        // SAFETY: misuse on purpose, which is seen.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { heap.reallocate_unsized(pointer, layout(50)) }));
        assert_eq!(heap.misuses.count(), before + 1);
        assert!(result.map_or(cfg!(debug_assertions), |moved| moved.is_none()));
    }
}
