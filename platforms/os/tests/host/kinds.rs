//! Which way of keeping contexts apart is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coreheap_os::coreheap::{CoreLocal, Geometry};
use coreheap_os::{Coreheap, CoresKind, HostCores, HostGeometry};

use crate::HEAP;
use crate::support::{cases, expected_kind, portable_kind, times};
use crate::system::{error, set_error};

cases! {
    fn the_best_kind_is_used_unless_told_otherwise() {
        assert_eq!(HEAP.cores_kind(), expected_kind());
        assert_eq!(HEAP.use_portable_cores(), expected_kind() != CoresKind::Rseq, "it is too late to change");
        assert_eq!(HEAP.cores_kind(), expected_kind());
    }

    fn a_heap_can_be_made_portable_before_its_first_use_only() {
        let first = Coreheap::new();
        assert!(first.use_portable_cores());
        let _ = first.allocate(std::alloc::Layout::new::<u64>()).expect("memory");
        assert_eq!(first.cores_kind(), portable_kind());
        let second = Coreheap::new();
        let _ = second.allocate(std::alloc::Layout::new::<u64>()).expect("memory");
        assert_eq!(second.cores_kind(), expected_kind());
        assert_eq!(second.use_portable_cores(), expected_kind() != CoresKind::Rseq);
    }

    fn a_static_heap_takes_no_bytes_of_the_program() {
        // Behind what the program brings along lies what is zero at first.
        #[cfg(target_os = "linux")]
        {
            unsafe extern "C" {
                // The linker's; only their addresses mean something.
                static __bss_start: u8;
                static _end: u8;
            }
            let zero = (&raw const __bss_start).addr()..(&raw const _end).addr();
            assert!(zero.contains(&(&raw const HEAP).addr()));
        }
    }

    fn pops_and_pushes_go_through_the_magazine() {
        let heap = Coreheap::new();
        let layout = std::alloc::Layout::new::<[u64; 5]>();
        let class = HostGeometry::class_of(layout.size(), layout.align()).expect("a small block");
        let cores = heap.cores();
        // SAFETY: `HostGeometry` is the geometry of this heap; what is popped is pushed again.
        unsafe {
            let pop_alone = || cores.alone::<HostGeometry, _, _>((), |heap, ()| heap.magazine(class).pop()).ok().flatten();
            let pop = || cores.pop::<HostGeometry>(class).or_else(pop_alone);
            assert!(pop().is_none(), "there is no core heap before the first use");
            let block = heap.allocate(layout).expect("memory");
            heap.deallocate(block, layout);
            // The thread may be moved to a core without a core heap at any moment, but not a hundred times.
            let popped = (0..100).find_map(|_| {
                let popped = pop();
                if popped.is_none() {
                    heap.deallocate(heap.allocate(layout).expect("memory"), layout);
                }
                popped
            });
            let pushed = cores.push::<HostGeometry>(class, popped.expect("a block in the magazine"));
            let push_alone = |block| {
                cores.alone::<HostGeometry, _, _>(block, |heap, block| heap.magazine(class).push(block)).flatten()
            };
            pushed.or_else(push_alone).expect("room for what was there before");
        }
        let stats = heap.stats();
        let in_magazines: usize = stats.classes().map(|class| class.in_magazines).sum();
        assert!(in_magazines > 1, "refill fills the magazine: {in_magazines}");
        heap.purge();
        let stats = heap.stats();
        assert_eq!(stats.classes().map(|class| class.in_magazines).sum::<usize>(), 0, "purge reaches every magazine");
        heap.assert_valid();
    }

    fn a_core_heap_that_is_out_is_passed_by() {
        let heap = Coreheap::new();
        let layout = std::alloc::Layout::new::<[u64; 3]>();
        let blocks: Vec<_> = (0..200).map(|_| heap.allocate(layout).expect("memory")).collect();
        let mut most = 0;
        for core in 0..heap.cores().core_count() {
            // SAFETY: `HostGeometry` is the geometry of this heap; each block is freed once.
            unsafe {
                heap.cores().alone_on::<HostGeometry, _>(core, |core_heap| {
                    // As a signal handler would: the magazines are out of reach, the heap works.
                    let blocks = || core_heap.magazines().flat_map(|(_, magazine)| magazine.addresses(HostCores::SHARED)).collect::<Vec<_>>();
                    let before = blocks();
                    let more: Vec<_> = (0..1000).map(|_| heap.allocate(layout).expect("memory")).collect();
                    assert!(heap.cores().alone_on::<HostGeometry, _>(core, |_| ()).is_none(), "two alone on one core heap");
                    more.into_iter().for_each(|block| heap.deallocate(block, layout));
                    assert_eq!(before, blocks());
                    most += 1;
                });
            }
        }
        assert!(most > 0, "no core heap");
        // SAFETY: as above.
        blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout) });
        heap.purge();
        heap.assert_valid();
        assert_eq!(heap.stats().classes().map(|class| class.used).sum::<usize>(), 0);
    }

    fn nobody_comes_in_while_one_is_alone() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let layout = std::alloc::Layout::new::<[u64; 9]>();
        let class = HostGeometry::class_of(layout.size(), layout.align()).expect("a small block");
        let worker = std::thread::spawn(move || {
            while !DONE.load(Ordering::Relaxed) {
                for _ in 0..1000 {
                    // SAFETY: a block of the heap.
                    unsafe { HEAP.deallocate(HEAP.allocate(layout).expect("memory"), layout) };
                }
            }
        });
        let (mut alone, started) = (0, Instant::now());
        let cores = HEAP.cores().core_count().min(16);
        for core in (0..cores).cycle() {
            // Longer where others have the processor.
            if started.elapsed() > Duration::from_secs(if alone > times(1000) { 2 } else { 60 }) {
                break;
            }
            // SAFETY: `HostGeometry` is the geometry of the heap.
            let changed = unsafe {
                HEAP.cores().alone_on::<HostGeometry, _>(core, |core_heap| {
                    let count = core_heap.magazine(class).count();
                    (0..300).any(|_| core_heap.magazine(class).count() != count)
                })
            };
            assert_ne!(changed, Some(true), "the worker pops and pushes");
            alone += usize::from(changed.is_some());
            // The worker is to be inside a pop or push when the next round begins.
            let end = Instant::now() + Duration::from_micros(1);
            while Instant::now() < end {}
        }
        DONE.store(true, Ordering::Relaxed);
        worker.join().expect("a worker");
        println!("alone {alone} times");
        assert!(alone > times(1000));
    }

    fn the_last_error_is_kept() {
        let heap = Coreheap::new();
        set_error(1234);
        let layout = std::alloc::Layout::from_size_align(40, 8).expect("a layout");
        let huge = std::alloc::Layout::from_size_align(isize::MAX as usize / 2, 8).expect("a layout");
        let block = heap.allocate(layout).expect("memory");
        assert!((0..4).any(|_| heap.allocate(huge).is_none()), "no system has so much");
        // SAFETY: a block of the heap.
        unsafe { heap.deallocate(block, layout) };
        heap.purge();
        drop(heap);
        assert_eq!(error(), 1234);
    }
}
