//! Many threads on few cores exchange blocks through shared slots: a block is nearly always freed by another thread than the one
//! that allocated it, and its contents are checked on the way.

use std::alloc::Layout;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use coreheap::{Beside, Compact, CoreLocal, CoreNumber, Geometry, Heap, PageSource, Tiny, TryFlag};
use coreheap_tests::blocks::holds;
use coreheap_tests::cores::{ThreadNumber, Wandering};
use coreheap_tests::geometries::Hosted;
use coreheap_tests::rng::Rng;
use coreheap_tests::sources::{COMMITS, DECOMMITS, GROWS, RELEASES, TestSource};

/// What each block starts with.
#[repr(C)]
struct Header {
    size: usize,
    align: usize,
    stamp: usize,
}

/// Fewer under Miri, so that few steps exchange many blocks.
const SLOTS: usize = if cfg!(miri) { 8 } else { 128 };
/// Most bytes of the rare large blocks.
const LARGE: usize = if cfg!(miri) { 4000 } else { 40_000 };

/// Bytes of the regions. Under Miri the first is as long as is asked for, so that memory is not short, and each core gets its core heap.
const REGIONS: &[usize] = if cfg!(miri) { &[64 << 10, 32 << 10] } else { &[4 << 20, 6 << 20] };

struct Exchange<'a, S: PageSource, C: CoreLocal, G: Geometry> {
    heap: &'a Heap<S, C, G>,
    slots: Vec<AtomicPtr<Header>>,
    refused: AtomicUsize,
    exchanged: AtomicUsize,
}

impl<S: PageSource, C: CoreLocal, G: Geometry> Exchange<'_, S, C, G> {
    /// A block that says what it is, at its start and in all of its other bytes.
    fn make(&self, rng: &mut Rng) -> *mut Header {
        let most = if rng.below(50) == 0 { LARGE } else { 16 << rng.below(8) };
        let size = size_of::<Header>() + rng.below(most);
        let layout = Layout::from_size_align(size, 8 << rng.below(4)).unwrap();
        let zeroed = rng.below(10) == 0;
        let block = if zeroed { self.heap.allocate_zeroed(layout) } else { self.heap.allocate(layout) };
        let Some(block) = block else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return null_mut();
        };
        let stamp = rng.draw() as usize;
        // SAFETY: a fresh block of this size.
        unsafe {
            assert!(!zeroed || holds(block, size, 0), "a zeroed block is not zero");
            block.add(size_of::<Header>()).write_bytes(stamp as u8, size - size_of::<Header>());
            block.cast::<Header>().write(Header { size, align: layout.align(), stamp });
        }
        block.as_ptr().cast()
    }

    /// Checks a block, and frees it in one of the ways there are.
    fn end(&self, block: *mut Header, rng: &mut Rng) {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: made by `make`, taken out of a slot by this thread alone.
        unsafe {
            let Header { size, align, stamp } = block.read();
            let bytes = block.cast::<u8>();
            let contents = bytes.add(size_of::<Header>());
            assert!(holds(contents, size - size_of::<Header>(), stamp as u8), "a block of {size} bytes was overwritten");
            let layout = Layout::from_size_align(size, align).unwrap();
            match rng.below(8) {
                0 => self.heap.deallocate_unsized(bytes.as_ptr()),
                1 => match self.heap.reallocate(bytes, layout, size * 2) {
                    Some(moved) => self.heap.deallocate(moved, Layout::from_size_align(size * 2, align).unwrap()),
                    None => self.heap.deallocate(bytes, layout),
                },
                _ => self.heap.deallocate(bytes, layout),
            }
        }
    }

    fn run(&self, seed: u64, steps: usize) {
        let mut rng = Rng::new(seed);
        for step in 0..steps {
            let slot = &self.slots[rng.below(SLOTS)];
            let block = if rng.below(8) == 0 { null_mut() } else { self.make(&mut rng) };
            let other = slot.swap(block, Ordering::AcqRel);
            self.exchanged.fetch_add(usize::from(!other.is_null()), Ordering::Relaxed);
            self.end(other, &mut rng);
            if step % 1024 == 1023 && seed.is_multiple_of(3) {
                self.heap.purge();
            }
        }
    }
}

/// Lets `threads` threads exchange blocks over `heap`, then looks at what is left.
fn exchange<S: PageSource, C: CoreLocal, G: Geometry>(heap: &Heap<S, C, G>, threads: u64, steps: usize) {
    let slots = (0..SLOTS).map(|_| AtomicPtr::new(null_mut())).collect();
    let exchange = Exchange { heap, slots, refused: AtomicUsize::new(0), exchanged: AtomicUsize::new(0) };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let exchange = &exchange;
            scope.spawn(move || exchange.run(thread, steps));
        }
    });
    heap.assert_valid();
    let (refused, exchanged) = (exchange.refused.into_inner(), exchange.exchanged.into_inner());
    assert!(
        exchanged > threads as usize * steps / 4,
        "{exchanged} blocks went through the slots, {refused} requests were refused"
    );
    let exchange = Exchange { refused: AtomicUsize::new(0), exchanged: AtomicUsize::new(0), ..exchange };
    exchange.slots.iter().for_each(|slot| exchange.end(slot.swap(null_mut(), Ordering::Relaxed), &mut Rng::new(0)));
    assert_eq!(heap.stats().used, 0, "every block was freed");
    heap.purge();
    heap.assert_valid();
    assert_eq!(heap.stats().classes().map(|class| class.pages).sum::<usize>(), 0, "every page was retired");
}

/// Steps for each thread, `all` of them together.
fn share(all: usize, threads: u64) -> usize {
    (if cfg!(miri) { 32 } else { all }) / threads as usize
}

fn cores<N: CoreNumber, const CORES: usize, G: Geometry>(threads: u64) {
    let source = TestSource::<{ COMMITS | DECOMMITS }>::new(REGIONS);
    exchange(&Heap::<_, TryFlag<N, CORES>, G>::new(source, TryFlag::new()), threads, share(1_500_000, threads));
}

#[test]
fn two_threads_two_cores() {
    cores::<ThreadNumber, 2, Hosted>(2);
}

#[test]
fn two_threads_one_core() {
    cores::<ThreadNumber, 1, Hosted>(2);
}

#[test]
fn eight_threads_two_cores() {
    cores::<ThreadNumber, 2, Hosted>(if cfg!(miri) { 3 } else { 8 });
}

#[test]
fn eight_threads_that_wander_over_four_cores() {
    cores::<Wandering, 4, Hosted>(if cfg!(miri) { 3 } else { 8 });
}

#[test]
#[cfg_attr(miri, ignore = "three threads show it")]
fn many_threads_four_cores() {
    cores::<ThreadNumber, 4, Hosted>(64);
}

#[test]
fn three_threads_side_by_side_in_two_core_heaps() {
    let source = TestSource::<{ COMMITS | DECOMMITS }>::new(REGIONS);
    exchange(&Heap::<_, Beside<ThreadNumber, 2>, Hosted>::new(source, Beside::new()), 3, share(1_500_000, 3));
}

#[test]
fn without_magazines() {
    cores::<ThreadNumber, 2, Tiny>(if cfg!(miri) { 2 } else { 4 });
    if !cfg!(miri) {
        cores::<ThreadNumber, 2, Compact>(8);
    }
}

#[test]
fn threads_that_purge_together() {
    let source = TestSource::<{ COMMITS | DECOMMITS }>::new(&[if cfg!(miri) { 48 << 10 } else { 1 << 20 }]);
    let heap = Heap::<_, TryFlag<ThreadNumber, 2>, Compact>::new(source, TryFlag::new());
    let layout = Layout::from_size_align(5000, 8).unwrap();
    let (threads, steps) = if cfg!(miri) { (2, 8) } else { (4, 5000) };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..steps {
                    let block = heap.allocate(layout).expect("others' purges have memory in hand for a moment only");
                    // SAFETY: allocated just now.
                    unsafe { heap.deallocate(block, layout) };
                    // The source sees to it that nothing is decommitted twice.
                    heap.purge();
                }
            });
        }
    });
    heap.assert_valid();
}

#[test]
fn threads_that_run_dry_together() {
    let sizes = if cfg!(miri) { &[16 << 10, 16 << 10, 8 << 10] } else { &[1 << 20, 1 << 19, 1 << 19] };
    let source = TestSource::<{ GROWS | RELEASES }>::new(sizes).giving_at_first(sizes[0] / 5);
    let heap = Heap::<_, TryFlag<ThreadNumber, 2>, Hosted>::new(source, TryFlag::new());
    let refused = AtomicUsize::new(0);
    let threads = if cfg!(miri) { 3 } else { 8 };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (heap, refused) = (&heap, &refused);
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for _ in 0..if cfg!(miri) { 1 } else { 60 } {
                    let layout =
                        Layout::from_size_align(if cfg!(miri) { 500 + rng.below(2000) } else { 1 + rng.below(30_000) }, 16)
                            .unwrap();
                    let blocks: Vec<_> = core::iter::from_fn(|| heap.allocate(layout)).take(2000).collect();
                    refused.fetch_add(1, Ordering::Relaxed);
                    for block in blocks {
                        // SAFETY: a live block of this layout.
                        unsafe {
                            block.write(1);
                            block.add(layout.size() - 1).write(2);
                            heap.deallocate(block, layout);
                        }
                    }
                }
            });
        }
    });
    assert!(refused.into_inner() >= threads as usize);
    heap.assert_valid();
    assert_eq!(heap.stats().used, 0);
    heap.purge();
    let largest = heap.stats().largest_free_run;
    assert!(largest > sizes[0] / 7 * 2, "{largest}");
}

#[test]
fn one_thread_allocates_what_another_frees() {
    let source = TestSource::<0>::new(&[if cfg!(miri) { 32 << 10 } else { 3 << 20 }]);
    let heap = Heap::<_, TryFlag<ThreadNumber, 4>, Hosted>::new(source, TryFlag::new());
    let (done, layout) = (AtomicBool::new(false), Layout::from_size_align(200, 8).unwrap());
    let slots: Vec<AtomicPtr<u8>> = (0..if cfg!(miri) { 8 } else { 64 }).map(|_| AtomicPtr::new(null_mut())).collect();
    let steps = if cfg!(miri) { 50 } else { 300_000 };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..steps {
                let slot = &slots[step % slots.len()];
                while !slot.load(Ordering::Acquire).is_null() {
                    std::thread::yield_now();
                }
                let block = heap.allocate(layout).expect("at most 64 blocks are live, and what is freed comes back");
                // SAFETY: a fresh block.
                unsafe { block.write_bytes(step as u8, 200) };
                slot.store(block.as_ptr(), Ordering::Release);
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut step = 0;
            while step < steps {
                let block = slots[step % slots.len()].swap(null_mut(), Ordering::AcqRel);
                let Some(block) = NonNull::new(block) else {
                    std::thread::yield_now();
                    continue;
                };
                // SAFETY: a live block, handed over by the other thread.
                unsafe {
                    assert_eq!([block.read(), block.add(199).read()], [step as u8; 2]);
                    heap.deallocate(block, layout);
                }
                step += 1;
            }
        });
    });
    assert!(done.into_inner());
    assert_eq!(heap.stats().used, 0);
    heap.assert_valid();
}
