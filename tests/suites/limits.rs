//! What there is, is served: all of a limit that is less than a region, whatever the source can do; and all of a region to the first who asks.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use coreheap::sources::{FixedRegion, Limited, Regions};
use coreheap::{
    Compact, DenseHeap, Geometry, HeaderlessHeap, Heap, OneContext, PageSource, Region, RegionRequest, SingleCore, SmallHeap,
    Tiny,
};
use coreheap_tests::blocks::{fill, layout};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::sources::{COMMITS, DECOMMITS, GROWS, OS_PAGES, RELEASES, TestSource};

const KIB: usize = 1024;
/// Bytes of the region.
const SIZE: usize = 1024 * KIB;
/// Bytes of a block.
const BLOCK: usize = if cfg!(miri) { 256 } else { 64 };

/// A fixed region, and the same behind a limit.
trait Source: PageSource {
    fn first_bytes(memory: &mut [u64], limit: usize) -> Self;

    /// How many bytes it has out, as far as it counts them.
    fn used(&self) -> usize;
}

impl Source for FixedRegion {
    fn first_bytes(memory: &mut [u64], limit: usize) -> Self {
        // SAFETY: the caller keeps the memory while the heap is there.
        unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), limit) }
    }

    fn used(&self) -> usize {
        0
    }
}

impl Source for Limited<FixedRegion> {
    fn first_bytes(memory: &mut [u64], limit: usize) -> Self {
        Limited::new(FixedRegion::first_bytes(memory, size_of_val(memory)), limit)
    }

    fn used(&self) -> usize {
        Limited::used(self)
    }
}

/// How many blocks of so many bytes a heap has.
fn blocks(heap: &impl GlobalAlloc, size: usize) -> usize {
    fill(heap, || layout(size)).len()
}

/// How many blocks each heap has in so many bytes.
fn served<S: Source>(memory: &mut [u64], limit: usize) -> [usize; 6] {
    let mut source = || S::first_bytes(memory, limit);
    macro_rules! count {
        ($($new:expr),*) => {
            [$({
                let heap = $new(source());
                let count = blocks(&heap, BLOCK);
                heap.assert_valid();
                assert!(heap.source().used() <= limit);
                count
            }),*]
        };
    }
    count!(
        SmallHeap::new,
        |source| HeaderlessHeap::new(source, OneContext::new()),
        |source| DenseHeap::<_, _, 0>::new(source, OneContext::new()),
        |source| Heap::<_, SingleCore, Tiny>::new(source, single_core()),
        |source| Heap::<_, SingleCore, Compact>::new(source, single_core()),
        |source| Heap::<_, SingleCore, Hosted>::new(source, single_core())
    )
}

#[test]
fn a_limit_within_a_fixed_region_is_served_as_a_region_of_that_size_is() {
    // Where it lies matters where it is little.
    let mut memory = vec![0u64; SIZE / 8];
    let limits: &[usize] = if cfg!(miri) { &[8 * KIB] } else { &[4 * KIB + 5, 16 * KIB, 60 * KIB, 256 * KIB, 600 * KIB, SIZE] };
    for &limit in limits {
        let [counts, alone] = [served::<Limited<FixedRegion>>(&mut memory, limit), served::<FixedRegion>(&mut memory, limit)];
        // The last one's geometry is for more memory: what there is serves one page, if it is not asked for first.
        let heaps = if limit < 60 * KIB { 5 } else { 6 };
        assert_eq!(counts[..heaps], alone[..heaps], "{limit} bytes");
        assert!(counts[..3].iter().all(|count| count * BLOCK > limit * 3 / 4), "{counts:?} blocks in {limit} bytes");
    }
}

#[test]
#[cfg_attr(miri, ignore = "long; the others show it")]
fn a_limit_is_served_across_regions() {
    let mut memory = vec![0u64; 8 * KIB];
    let size = 32 * KIB;
    let region = |half: &mut [u64]| Region { start: std::ptr::NonNull::from(half).cast(), size };
    let (first, second) = memory.split_at_mut(size / 8);
    // SAFETY: memory of the test's own, which outlives the heap.
    let regions = unsafe { Regions::new([region(first), region(second)]) };
    let heap = SmallHeap::new(Limited::new(regions, 40 * KIB));
    assert!(blocks(&heap, 64) * 64 > 36 * KIB);
    assert_eq!(heap.source().used(), 40 * KIB, "the first region, and a part of the second");
}

#[test]
fn a_limit_is_served_by_every_kind_of_source() {
    fn check<const ABILITIES: u32, G: Geometry>(limit: usize) {
        const REGION: usize = if cfg!(miri) { 48 * KIB } else { SIZE };
        let source = Limited::new(TestSource::<ABILITIES>::new(&[REGION, REGION]), limit);
        let heap: Heap<_, SingleCore, G> = Heap::new(source, single_core());
        // On 32 bits fewer bytes each would leave a part of each OS page: a page of `Tiny` has as many blocks as a word has bits.
        let bytes_each = 2 * BLOCK;
        let bytes = blocks(&heap, bytes_each) * bytes_each;
        let (used, out) = (heap.source().used(), heap.source().source().bytes_committed());
        assert!(used <= limit && (ABILITIES & COMMITS == 0 || out <= limit), "{used} of {limit} bytes are out, {out} committed");
        assert!(bytes > limit / 2, "{bytes} of {limit} bytes in blocks");
        heap.assert_valid();
        // The source sees to it that regions come back whole.
        drop(heap);
    }
    fn check_all<G: Geometry>(limit: usize) {
        check::<0, G>(limit);
        check::<{ RELEASES }, G>(limit);
        check::<{ GROWS }, G>(limit);
        check::<{ RELEASES | GROWS }, G>(limit);
        check::<{ COMMITS | DECOMMITS | OS_PAGES }, G>(limit);
        check::<{ COMMITS | DECOMMITS | RELEASES | OS_PAGES }, G>(limit);
        check::<{ COMMITS | RELEASES | GROWS | OS_PAGES }, G>(limit);
    }
    check_all::<Tiny>(if cfg!(miri) { 32 * KIB } else { 64 * KIB });
    if !cfg!(miri) {
        check_all::<Compact>(100 * KIB);
        check_all::<Hosted>(700 * KIB);
    }
}

#[test]
fn what_was_cut_off_comes_before_new_memory() {
    let request = |size| RegionRequest { min_size: size, preferred_size: size, preferred_align: 1, is_for_one_block: false };
    let source = Limited::new(TestSource::<{ RELEASES | GROWS }>::new(&[64 * KIB, 100 * KIB]), 80 * KIB);
    let first = source.reserve(request(64 * KIB)).expect("room");
    let mut second = source.reserve(request(10 * KIB)).expect("room");
    assert_eq!((second.size, source.used()), (16 * KIB, 80 * KIB), "as far as the limit");
    // SAFETY: regions of this source, as grown.
    unsafe {
        assert_eq!(source.grow(second, 1, KIB), 0, "the limit is reached");
        source.release(first);
        second.size += source.grow(second, 20 * KIB, 30 * KIB);
        assert_eq!((second.size, source.used()), (46 * KIB, 46 * KIB), "some of what was cut off");
        assert_eq!(source.grow(second, 60 * KIB, 60 * KIB), 0, "so much was not, and is behind the limit as well");
        second.size += source.grow(second, 1, 50 * KIB);
        assert_eq!((second.size, source.used()), (80 * KIB, 80 * KIB));
        source.release(second);
    }
    assert_eq!((source.used(), source.source().regions_out()), (0, 0));
    let whole = source.reserve(request(80 * KIB)).expect("all of the limit");
    assert_eq!((whole.size, source.used()), (80 * KIB, 80 * KIB));
    // SAFETY: as above.
    unsafe { source.release(whole) };
}

#[test]
fn a_limit_of_no_whole_os_pages_is_rounded_down() {
    const ABILITIES: u32 = DECOMMITS | RELEASES | GROWS | OS_PAGES;
    let limit = 22 * KIB + 5;
    let source = Limited::new(TestSource::<ABILITIES>::new(&[64 * KIB]), limit);
    let mut region = source.reserve(request_of(5 * KIB, 64 * KIB)).expect("less than the limit");
    assert_eq!((region.size, source.used()), (20 * KIB, 20 * KIB), "a part of an OS page cannot be decommitted");
    // SAFETY: the region, as it was grown.
    unsafe {
        assert_eq!(source.grow(region, 1, KIB), 0, "less than an OS page is left");
        source.release(region);
        region = source.reserve(request_of(5 * KIB, 5 * KIB)).expect("nothing is out");
        assert_eq!((region.size, source.used()), (20 * KIB, 20 * KIB), "all of its region within the limit");
        source.release(region);
    }
    assert!(source.reserve(request_of(21 * KIB, 64 * KIB)).is_none());
    assert_eq!(source.used(), 0);
}

#[test]
fn what_goes_back_with_its_region_counts_no_more() {
    fn check<const ABILITIES: u32>() {
        let source = Limited::new(TestSource::<ABILITIES>::new(&[64 * KIB]), 80 * KIB);
        for _ in 0..3 {
            let region = source.reserve(request_of(64 * KIB, 64 * KIB)).expect("nothing is out");
            // SAFETY: a region of this source; what is committed is decommitted again if that can be.
            unsafe {
                assert!(source.commit(region.start, 16 * KIB));
                assert!(ABILITIES & DECOMMITS == 0 || source.decommit(region.start, 16 * KIB));
                source.release(region);
            }
            assert_eq!(source.used(), 0);
        }
    }
    check::<{ COMMITS | RELEASES | OS_PAGES }>();
    check::<{ COMMITS | DECOMMITS | RELEASES | OS_PAGES }>();
}

/// Regions of 64 KiB that could grow without end. While it is asked first another context asks as well, and that request is the one that it serves.
struct Busy(AtomicUsize);

static BUSY: Limited<Busy> = Limited::new(Busy(AtomicUsize::new(0)), 30 * KIB);

fn request_of(min_size: usize, preferred_size: usize) -> RegionRequest {
    RegionRequest { min_size, preferred_size, preferred_align: 1, is_for_one_block: false }
}

// SAFETY: nobody uses the regions.
unsafe impl PageSource for Busy {
    const GROWS: bool = true;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        let calls = self.0.fetch_add(1, Ordering::Relaxed);
        if calls == 0 {
            let other = BUSY.reserve(request_of(KIB, KIB)).expect("there is room");
            assert_eq!((other.start.addr().get(), other.size), (64 * KIB, 20 * KIB), "what the first request leaves");
            return None;
        }
        let start = std::ptr::without_provenance_mut(calls * 64 * KIB);
        Some(Region { start: std::ptr::NonNull::new(start)?, size: 64 * KIB })
    }

    unsafe fn grow(&self, region: Region, _: usize, preferred_size: usize) -> usize {
        assert_eq!(region.size, 64 * KIB, "the source knows it by its whole length");
        preferred_size
    }
}

#[test]
fn a_second_region_that_is_cut_is_not_lost() {
    assert!(BUSY.reserve(request_of(10 * KIB, 10 * KIB)).is_none());
    assert_eq!(BUSY.used(), 20 * KIB, "what was refused counts no more");
    let second = BUSY.reserve(request_of(5 * KIB, 5 * KIB)).expect("there is room");
    assert_eq!((second.size, BUSY.used()), (10 * KIB, 30 * KIB), "as far as the limit");
    // SAFETY: a region of this source.
    assert_eq!(unsafe { BUSY.grow(second, 0, KIB) }, 0, "its end is not where the source has it");
}

/// The longest block that a heap has.
fn longest(heap: &impl GlobalAlloc, align: usize, most: usize) -> usize {
    let fits = |size| {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: not of size 0; a block of this heap.
        unsafe {
            let block = heap.alloc(layout);
            if !block.is_null() {
                heap.dealloc(block, layout);
            }
            !block.is_null()
        }
    };
    let (mut served, mut refused) = (1, most);
    assert!(fits(served) && !fits(refused));
    while refused - served > 1 {
        let middle = (served + refused) / 2;
        if fits(middle) { served = middle } else { refused = middle }
    }
    served
}

#[test]
fn the_first_request_is_served_like_a_later_one() {
    const REGIONS: [(usize, usize); 5] = [(3, 4099), (13, 20_000), (0, 2000), (1, 4096), (8, 70_001)];
    macro_rules! check {
        ($align:expr, $name:literal, $new:expr) => {
            check!($align, $name, $new, 1);
        };
        ($align:expr, $name:literal, $new:expr, $above:expr) => {
            for (inset, size) in
                REGIONS.into_iter().filter(|region| region.1 > $above).take(if cfg!(miri) { 1 } else { REGIONS.len() })
            {
                let mut memory = vec![0u64; 10 * KIB];
                // SAFETY: memory of the test's own, for one heap after the other.
                let mut source = || unsafe { FixedRegion::over(memory.as_mut_ptr().cast::<u8>().add(inset), size) };
                let longest = longest(&$new(source()), $align, size + 1);
                let layout = Layout::from_size_align(longest, $align).expect("a layout");
                macro_rules! check_first {
                    ($heap:expr) => {{
                        let heap = $heap;
                        // SAFETY: not of size 0.
                        let block = unsafe { heap.alloc(layout) };
                        assert!(!block.is_null(), "{}: {longest} at {} of {size}", $name, $align);
                        heap.assert_valid();
                    }};
                }
                // As the first region, and as one that is asked for.
                check_first!($new(source()));
                check_first!($new(Limited::new(source(), size)));
            }
        };
    }
    macro_rules! new {
        ($heap:expr $(, $with:expr)?) => {
            |source| $heap(source $(, $with)?)
        };
    }
    for align in [8, 64] {
        check!(align, "SmallHeap", SmallHeap::new);
        check!(align, "HeaderlessHeap", (new!(HeaderlessHeap::new, OneContext::new())));
    }
    check!(8, "DenseHeap", (new!(DenseHeap::<_, _, 0>::new, OneContext::new())));
    check!(8, "Heap, Tiny", (new!(Heap::<_, SingleCore, Tiny>::new, single_core())));
    check!(8, "Heap, Compact", (new!(Heap::<_, SingleCore, Compact>::new, single_core())), 10_000);
}

#[test]
fn a_request_that_is_aligned_beyond_all_regions_takes_none() {
    let layout = Layout::from_size_align(8, isize::MAX as usize / 2 + 1).expect("a layout");
    macro_rules! check {
        ($name:literal, $new:expr) => {
            let heap = $new(TestSource::<0>::new(&[8 * KIB; 8]));
            // SAFETY: not of size 0.
            assert!(unsafe { heap.alloc(layout) }.is_null());
            assert_eq!(heap.source().regions_out(), 0, "{}", $name);
        };
    }
    check!("SmallHeap", SmallHeap::new);
    check!("HeaderlessHeap", |source| HeaderlessHeap::new(source, OneContext::new()));
    check!("DenseHeap", |source| DenseHeap::<_, _, 0>::new(source, OneContext::new()));
    check!("Heap, Tiny", |source| Heap::<_, SingleCore, Tiny>::new(source, single_core()));
}
