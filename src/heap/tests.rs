use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::cores::core_local::SingleCore;
use crate::heap::shortage::tests::scripted::{Paged, TwoCores, heap, layout};
use crate::source::sources::FixedRegion;

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
        assert!(block.cast::<[u8; 100]>().read() == [0x5a; 100]);
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
        assert!(moved.cast::<[u8; 640]>().read() == [0x5a; 640]);
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
        assert_eq!(unsafe { again.cast::<[u8; 2000]>().read() }, [if clears { 0 } else { 0x5a }; 2000]);
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
        heap.cores.is_busy.store(true, crate::base::sync::Ordering::Relaxed);
        assert!(!heap.deallocate_ready(block.as_ptr()), "others have it");
        heap.cores.is_busy.store(false, crate::base::sync::Ordering::Relaxed);
        let is_ready = heap.arenas.class_at_home(block.addr().get()).is_some();
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

/// A core-local whose quick way is not there.
struct NeverQuick(SingleCore);

// SAFETY: `SingleCore` keeps L1.
unsafe impl CoreLocal for NeverQuick {
    const QUICK_FIRST: bool = true;

    fn core_count(&self) -> usize {
        self.0.core_count()
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        self.0.slot(core)
    }

    fn core(&self) -> usize {
        self.0.core()
    }

    unsafe fn pop<G: Geometry>(&self, _: SizeClass) -> Option<Block> {
        None
    }

    unsafe fn push<G: Geometry>(&self, _: SizeClass, block: Block) -> Result<(), Block> {
        Err(block)
    }

    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        // SAFETY: the caller's promise.
        unsafe { self.0.alone::<G, I, R>(input, work) }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: as above.
        unsafe { self.0.alone_on::<G, R>(core, work) }
    }
}

/// What was pushed alone is popped alone again; a magazine that is full is flushed, and one that is empty refilled.
#[test]
fn where_the_quick_way_is_not_there_magazines_still_serve() {
    let mut memory = std::vec![0_u64; 8 << 10];
    // SAFETY: memory of the test's own, and one thread.
    let (source, cores) = unsafe { (FixedRegion::over(memory.as_mut_ptr().cast(), 64 << 10), SingleCore::new()) };
    let heap = Heap::<_, _, Paged>::new(source, NeverQuick(cores));
    let class = Paged::class_of(32, 1).unwrap();
    let ready = || {
        // SAFETY: the heap's geometry.
        unsafe { heap.cores.alone_on::<Paged, _>(0, |core| core.magazine(class).addresses(false).count()) }
    };
    let block = heap.allocate(layout(32)).expect("room");
    let before = ready().expect("a core heap");
    // SAFETY: a block of this heap.
    unsafe { heap.deallocate(block, layout(32)) };
    assert_eq!(ready(), Some(before + 1));
    assert_eq!(heap.allocate(layout(32)), Some(block), "the newest");
    assert_eq!(ready(), Some(before));
    let blocks: std::vec::Vec<_> = (0..20).map(|_| heap.allocate(layout(32)).expect("room")).collect();
    // SAFETY: blocks of this heap.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(32)) });
    assert!((1..=Paged::MAGAZINE_SLOTS).contains(&ready().expect("a core heap")));
    heap.assert_valid();
}
