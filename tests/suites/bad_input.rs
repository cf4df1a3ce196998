//! Wrong pointers, wrong layouts, impossible requests, odd memory. A debug build panics with the reason; a release build leaves
//! alone what it can see, and counts it.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use coreheap::sources::FixedRegion;
use coreheap::{Compact, CoreLocal, Geometry, Heap, SingleCore, Tiny, TryFlag};
use coreheap_tests::actions::{Driver, Limits};
use coreheap_tests::cores::{Chosen, choose_core};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::TestSource;

const KIB: usize = 1024;

type OneCore<G> = Heap<TestSource<0>, SingleCore, G>;

fn heap<G: Geometry>() -> OneCore<G> {
    Heap::new(TestSource::new(&[if cfg!(miri) { 32 * KIB } else { 700 * KIB }]), single_core())
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Runs something that must be reported as `expected`: by a panic that says so, or (release) by being counted and ignored.
fn misuse<C: CoreLocal, G: Geometry>(heap: &Heap<TestSource<0>, C, G>, expected: &str, run: impl FnOnce()) {
    let before = heap.stats();
    let result = catch_unwind(AssertUnwindSafe(run));
    if cfg!(debug_assertions) {
        let payload = result.expect_err("a debug build panics");
        let message = payload.downcast_ref::<String>().expect("a message");
        assert!(message.starts_with("coreheap: ") && message.contains(expected), "{message}");
    } else {
        assert!(result.is_ok(), "a release build does not panic");
    }
    let after = heap.stats();
    assert_eq!(after.misuses, before.misuses + 1);
    assert_eq!(after.used, before.used, "nothing happened");
}

fn foreign<G: Geometry>() {
    let heap = heap::<G>();
    let block = heap.allocate(layout(100)).unwrap();
    let large_layout = layout(if cfg!(miri) { KIB } else { 20 * KIB } + G::MAX_BLOCK);
    let large = heap.allocate(large_layout).unwrap();
    let other = Box::new([0u64; 16]);
    let elsewhere = NonNull::from(&*other).cast::<u8>();
    // SAFETY: misuse on purpose; a heap that sees it touches nothing.
    unsafe {
        for (what, pointer) in [
            ("a pointer of another allocator", elsewhere),
            ("a large block's second slice", large.add(G::SLICE_SIZE)),
            ("the middle of a large block", large.add(8)),
        ] {
            println!("{what}");
            misuse(&heap, "not a block of this heap", || heap.deallocate_unsized(pointer.as_ptr()));
            assert_eq!(heap.usable_size(pointer.as_ptr()), None, "{what}");
        }
        assert_eq!(heap.usable_size(block.add(8).as_ptr()), None, "the middle of a block");
        misuse(&heap, "not a block of this heap", || heap.deallocate_unsized(core::ptr::without_provenance_mut(1)));
        misuse(&heap, "not a block of this heap", || heap.deallocate_unsized(core::ptr::without_provenance_mut(usize::MAX)));
        misuse(&heap, "not a block of this heap", || heap.deallocate(elsewhere, large_layout));
        misuse(&heap, "not allocated with this layout", || heap.deallocate(block, large_layout));
        if cfg!(debug_assertions) {
            // A release build does not look where in its page a pointer lies, and with a layout not even at the page.
            for pointer in [block.add(8), block.add(1)] {
                misuse(&heap, "not a block of this heap", || heap.deallocate_unsized(pointer.as_ptr()));
            }
            misuse(&heap, "not a block of this heap", || heap.deallocate(elsewhere, layout(100)));
            misuse(&heap, "not a block of this heap", || heap.deallocate(block.add(8), layout(100)));
            misuse(&heap, "not allocated with this layout", || heap.deallocate(block, layout(50)));
            misuse(&heap, "not allocated with this layout", || heap.deallocate(block, layout(200)));
            misuse(&heap, "", || heap.deallocate(large, layout(100)));
            for size in [101, 300] {
                let resize = |block, size_now| assert_eq!(heap.reallocate(block, layout(size_now), size), None);
                misuse(&heap, "not a block of this heap", || resize(elsewhere, 100));
                misuse(&heap, "not allocated with this layout", || resize(block, 50));
            }
        }
        heap.deallocate_unsized(core::ptr::null_mut());
        assert_eq!(heap.usable_size(core::ptr::null()), None);
        heap.deallocate(block, layout(100));
        heap.deallocate(large, large_layout);
    }
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn foreign_pointers() {
    foreign::<Hosted>();
    if !cfg!(miri) {
        foreign::<Compact>();
    }
    foreign::<Tiny>();
}

#[test]
fn pointers_before_the_first_allocation() {
    let heap = heap::<Hosted>();
    let other = Box::new(5u32);
    assert_eq!(heap.usable_size((&raw const *other).cast()), None);
    // SAFETY: misuse on purpose; a heap that sees it touches nothing.
    misuse(&heap, "not a block of this heap", || unsafe { heap.deallocate_unsized((&raw const *other).cast_mut().cast()) });
}

fn double_free<G: Geometry>(size: usize) {
    let heap = heap::<G>();
    let others: Vec<_> = (0..3).map(|_| heap.allocate(layout(size)).unwrap()).collect();
    let block = others[1];
    // SAFETY: the second free is misuse on purpose; a heap that sees it touches nothing.
    unsafe {
        heap.deallocate(block, layout(size));
        // A large one that does not wait is no block any more: "freed before".
        let expected = if size > G::MAX_BLOCK { "free" } else { "double free" };
        misuse(&heap, expected, || heap.deallocate(block, layout(size)));
        misuse(&heap, expected, || heap.deallocate_unsized(block.as_ptr()));
        heap.deallocate(others[0], layout(size));
        heap.deallocate(others[2], layout(size));
    }
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn double_frees() {
    for size in if cfg!(miri) { &[100][..] } else { &[1, 100, 512] } {
        let size = *size;
        double_free::<Compact>(size);
        double_free::<Tiny>(size);
        if cfg!(debug_assertions) {
            // A release build does not look into magazines.
            double_free::<Hosted>(size);
        }
    }
    double_free::<Hosted>(if cfg!(miri) { 5 * KIB } else { 100 * KIB });
    double_free::<Compact>(if cfg!(miri) { 5 * KIB } else { 10 * KIB });
    double_free::<Tiny>(513);
}

#[test]
fn a_double_free_on_another_core_is_seen_when_it_reaches_the_page() {
    let heap: Heap<TestSource<0>, TryFlag<Chosen, 2>, Hosted> =
        Heap::new(TestSource::new(&[if cfg!(miri) { 64 * KIB } else { 900 * KIB }]), TryFlag::new());
    for core in [0, 1] {
        choose_core(core);
        let blocks: Vec<_> = (0..10).map(|_| heap.allocate(layout(64)).unwrap()).collect();
        // SAFETY: allocated just now.
        blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout(64)) });
    }
    let block = heap.allocate(layout(64)).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        for core in [0, 1] {
            choose_core(core);
            // SAFETY: the second time is misuse on purpose: the block then lies in two magazines.
            unsafe { heap.deallocate(block, layout(64)) };
        }
        heap.purge();
    }));
    assert_eq!(result.is_err(), cfg!(debug_assertions));
    assert_eq!(heap.stats().misuses, 1);
}

fn nothing_is_something<G: Geometry>() {
    let heap = heap::<G>();
    let shifts = (0..13).step_by(if cfg!(miri) { 4 } else { 1 });
    let blocks: Vec<_> = shifts.map(|shift| Layout::from_size_align(0, 1 << shift).unwrap()).collect();
    let blocks: Vec<_> = blocks.into_iter().map(|layout| (heap.allocate(layout).unwrap(), layout)).collect();
    for (index, (block, layout)) in blocks.iter().enumerate() {
        assert_eq!(block.addr().get() % layout.align(), 0, "{layout:?}");
        assert!(heap.usable_size(block.as_ptr()).unwrap() > 0);
        assert!(blocks[..index].iter().all(|(other, _)| other != block), "each is a block of its own");
    }
    for (block, layout) in blocks {
        // SAFETY: a live block of this layout.
        unsafe {
            let grown = heap.reallocate(block, layout, 300).unwrap();
            grown.write_bytes(1, 300);
            let shrunk = heap.reallocate(grown, Layout::from_size_align(300, layout.align()).unwrap(), 0).unwrap();
            assert_eq!(shrunk.addr().get() % layout.align(), 0);
            heap.deallocate(shrunk, layout);
        }
    }
    assert_eq!(heap.stats().used, 0);
    heap.assert_valid();
}

#[test]
fn size_zero() {
    nothing_is_something::<Hosted>();
    if !cfg!(miri) {
        nothing_is_something::<Compact>();
    }
    nothing_is_something::<Tiny>();
}

fn too_much<G: Geometry>() {
    let heap = heap::<G>();
    for align in [1, 8, 4096, 1 << 20] {
        for size in [isize::MAX as usize - align, isize::MAX as usize + 1 - align, isize::MAX as usize / 2, 1 << 29] {
            let Ok(layout) = Layout::from_size_align(size, align) else { continue };
            assert_eq!(heap.allocate(layout), None, "{layout:?}");
            assert_eq!(heap.allocate_zeroed(layout), None, "{layout:?}");
        }
    }
    for size in [10, G::MAX_BLOCK + 1] {
        let block = heap.allocate(layout(size)).unwrap();
        // SAFETY: a live block of this size, which the refusals leave alone.
        unsafe {
            block.write_bytes(9, size);
            for new_size in [usize::MAX, usize::MAX - 7, isize::MAX as usize, isize::MAX as usize - 7, 1 << 29] {
                assert_eq!(heap.reallocate(block, layout(size), new_size), None);
            }
            assert!((0..size).all(|at| block.add(at).read() == 9));
            heap.deallocate(block, layout(size));
        }
    }
    heap.assert_valid();
}

#[test]
fn sizes_that_overflow() {
    too_much::<Hosted>();
    if !cfg!(miri) {
        too_much::<Compact>();
    }
    too_much::<Tiny>();
}

#[test]
#[cfg_attr(miri, ignore = "too much memory")]
fn big_alignments() {
    fn check<G: Geometry>() {
        let size = 40 << 20;
        let heap: OneCore<G> = Heap::new(TestSource::new(&[size]), single_core());
        for align in (0..25).map(|shift| 1 << shift) {
            for size in [0, 1, 1000, 100 * KIB] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let block = heap.allocate(layout).unwrap_or_else(|| panic!("{layout:?}"));
                assert_eq!(block.addr().get() % align, 0);
                // SAFETY: a live block of this layout; moved, it is aligned all the same.
                unsafe {
                    block.write_bytes(1, size);
                    let moved = heap.reallocate(block, layout, size + 5000).unwrap();
                    assert_eq!(moved.addr().get() % align, 0);
                    heap.deallocate(moved, Layout::from_size_align(size + 5000, align).unwrap());
                }
            }
        }
        for align in (25..usize::BITS - 1).map(|shift| 1 << shift) {
            let layout = Layout::from_size_align(1, align).unwrap();
            match heap.allocate(layout) {
                None => {}
                Some(block) => {
                    assert_eq!(block.addr().get() % align, 0);
                    // SAFETY: allocated just now.
                    unsafe { heap.deallocate(block, layout) };
                }
            }
        }
        let furthest = Layout::from_size_align(1, 1 << (usize::BITS - 2)).unwrap();
        assert!(heap.allocate(furthest).is_none(), "no such address in the region");
        assert_eq!(heap.stats().used, 0);
        heap.assert_valid();
    }
    check::<Hosted>();
    check::<Compact>();
    check::<Tiny>();
}

/// Memory of `size` bytes from `start` on, with bytes before and behind that must stay as they are.
fn in_the_middle<G: Geometry>(start: usize, size: usize) -> bool {
    const MARGIN: usize = 64;
    let mut buffer = vec![0u128; (start + size + 2 * MARGIN).div_ceil(16)];
    let bytes = buffer.as_mut_ptr().cast::<u8>();
    let length = buffer.len() * 16;
    // SAFETY: inside the buffer.
    let region = unsafe {
        bytes.write_bytes(0x3c, length);
        bytes.add(MARGIN + start)
    };
    // SAFETY: the heap's alone until it is dropped.
    let heap = Heap::<_, SingleCore, G>::new(unsafe { FixedRegion::over(region, size) }, single_core());
    let inside = |block: usize, length: usize| block >= region.addr() && block + length <= region.addr() + size;
    let mut driver = Driver::new(&heap, &inside);
    let limits = Limits { size: (size / 4).max(1), align: 256, live: 100 };
    driver.run(&mut Rng::new(start as u64), &limits, if cfg!(miri) { 15 } else { 500 });
    let served = driver.finish().allocated > 0;
    drop(heap);
    for at in (0..MARGIN + start).chain(MARGIN + start + size..length) {
        // SAFETY: inside the buffer.
        assert_eq!(unsafe { bytes.add(at).read() }, 0x3c, "byte {at} around {size} bytes at {start} was written");
    }
    served
}

#[test]
fn regions_start_and_end_anywhere() {
    let starts = if cfg!(miri) { vec![1] } else { (0..40).chain([63, 64, 127, 128, 129]).collect() };
    for start in starts {
        assert!(in_the_middle::<Tiny>(start, 8 * KIB + 3 * start));
        assert!(in_the_middle::<Compact>(start, if cfg!(miri) { 60 } else { 150 } * KIB + 7 * start));
        if start % 8 == 1 {
            assert!(in_the_middle::<Hosted>(start, if cfg!(miri) { 30 } else { 900 } * KIB + 1001 * start));
        }
    }
}

#[test]
fn regions_that_are_too_small_refuse() {
    let step = if cfg!(miri) { 146 } else { 1 };
    let mut served = 0;
    for size in (1..400).step_by(step).chain((400..6000).step_by(13 * step)) {
        served += usize::from(in_the_middle::<Tiny>(size % 5, size));
        if size % 20 == 0 {
            assert!(!in_the_middle::<Hosted>(size % 7, size));
        }
    }
    assert!(served > 0, "6,000 bytes are enough");
    assert!(!in_the_middle::<Tiny>(0, 100));
}
