//! Large pages, where this machine sets some apart: as root it is asked to.

use std::alloc::Layout;
use std::ffi::CStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use coreheap_os::coreheap::{PageSource, Region, RegionRequest};
use coreheap_os::{LargePage, Mmap, OsHeap, Reserved};
use coreheap_tests::conformance::conformance;

use crate::regions::{at, fill, holds_only};
use crate::support::{MIB, in_child, is_emulated, page, request, resident_pages, skip, smaps, unmaps};

/// More large pages than the machine has set apart, while this lives. One test at a time, in all processes.
struct Pool {
    folder: PathBuf,
    before: usize,
    _turn: File,
}

impl Pool {
    fn with(count: usize, page: LargePage) -> Option<Self> {
        let all = "/sys/kernel/mm/hugepages";
        let folder = PathBuf::from(format!("{all}/hugepages-{}kB", page.size() >> 10));
        let Some(turn) = File::open(all).ok().filter(|turn| folder.is_dir() && turn.lock().is_ok()) else {
            skip("no large pages in this kernel");
            return None;
        };
        let before = number(&folder, "nr_hugepages");
        let pool = Pool { folder, before, _turn: turn };
        let wanted = before + count;
        if !pool.set(wanted) || number(&pool.folder, "nr_hugepages") < wanted {
            skip(&format!("the system sets no {count} pages apart in {}", pool.folder.display()));
            return None;
        }
        Some(pool)
    }

    fn set(&self, count: usize) -> bool {
        fs::write(self.folder.join("nr_hugepages"), count.to_string()).is_ok()
    }

    /// Pages that are promised to nobody.
    fn free(&self) -> usize {
        number(&self.folder, "free_hugepages") - number(&self.folder, "resv_hugepages")
    }

    /// Whether so many are free soon: somebody who looks at an ended child just then keeps its pages for a moment.
    fn has_free(&self, count: usize) -> bool {
        let started = Instant::now();
        while self.free() != count && started.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(10));
        }
        self.free() == count
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.set(self.before);
    }
}

fn number(folder: &Path, file: &str) -> usize {
    fs::read_to_string(folder.join(file)).expect("a file of the kernel's").trim().parse().expect("a number")
}

const PAGE_2M: usize = 2 * MIB;

#[test]
fn a_region_lies_in_large_pages() {
    let Some(pool) = Pool::with(32, LargePage::Mib2) else { return };
    let (source, free, started) = (Mmap::large(LargePage::Mib2), pool.free(), Instant::now());
    let region = source.reserve(request(1 << 30)).expect("memory");
    println!("64 MiB in {:?}", started.elapsed());
    assert_eq!(region.size, 64 * MIB);
    assert_eq!(smaps(region.start, "KernelPageSize:"), "2048 kB");
    assert_eq!(pool.free(), free - 32);
    // QEMU brings nothing in before it is touched.
    assert!(is_emulated() || resident_pages(region.start, region.size) == Some(region.size / page()), "not all of it is there");
    assert_eq!(source.reserved(), Reserved { in_large_pages: 64 * MIB, in_usual_pages: 0 });
    assert!(holds_only(region.start, region.size, 0));
    fill(region.start, region.size, 7);
    // SAFETY: parts of the region, used by nobody else.
    unsafe {
        assert!(source.commit(at(region, MIB), MIB));
        assert!(!source.decommit(at(region, 4 * MIB), 8 * MIB), "given up, these pages could be gone when they are touched");
        assert!(!source.discard(at(region, 4 * MIB), 8 * MIB));
        assert!(source.remap(region, 128 * MIB).is_none());
        assert!(holds_only(region.start, region.size, 7), "nothing happened");
    }
    // SAFETY: used by nobody.
    assert!(unmaps(region.start, page(), || unsafe { source.release(region) }));
    assert!(pool.has_free(free), "{} of {free}", pool.free());
}

#[test]
fn regions_are_aligned_where_they_can_be() {
    let Some(_pool) = Pool::with(4, LargePage::Mib2) else { return };
    let source = Mmap::large(LargePage::Mib2);
    for (size, align) in [(1, page()), (PAGE_2M, 64 * MIB), (PAGE_2M + 1, 1 << 30)] {
        let wish = RegionRequest { min_size: size, preferred_size: size, preferred_align: align, is_for_one_block: false };
        let region = source.reserve(wish).expect("memory");
        assert_eq!(region.size, size.next_multiple_of(PAGE_2M));
        assert!(region.start.addr().get().is_multiple_of(align.max(PAGE_2M)), "{region:?} at {align}");
        assert_eq!(smaps(region.start, "KernelPageSize:"), "2048 kB");
        // SAFETY: used by nobody.
        unsafe { source.release(region) };
    }
}

#[test]
fn what_finds_no_large_pages_lies_in_usual_ones_and_is_counted() {
    let Some(pool) = Pool::with(3, LargePage::Mib2) else { return };
    let (source, all) = (Mmap::large(LargePage::Mib2), pool.free() * PAGE_2M);
    let mut regions = Vec::new();
    while source.reserved().in_usual_pages == 0 {
        regions.push(source.reserve(request(PAGE_2M)).expect("memory"));
    }
    assert_eq!(source.reserved(), Reserved { in_large_pages: all, in_usual_pages: PAGE_2M });
    let last = *regions.last().expect("some");
    assert_eq!(smaps(last.start, "KernelPageSize:"), "4 kB");
    for region in regions {
        fill(region.start, region.size, 1);
        // SAFETY: a region of this source, used by nobody in the end.
        unsafe {
            assert!(!source.decommit(region.start, region.size), "a source is of one mode");
            source.release(region);
        }
    }
}

#[test]
fn without_large_pages_memory_is_as_usual() {
    let source = Mmap::large(LargePage::Gib1);
    let region = source.reserve(request(4 * MIB)).expect("memory");
    if source.reserved().in_large_pages > 0 {
        return skip("this machine has pages of 1 GiB set apart");
    }
    assert_eq!(source.reserved(), Reserved { in_large_pages: 0, in_usual_pages: 4 * MIB });
    fill(region.start, region.size, 1);
    // SAFETY: a region of this source, used by nobody.
    unsafe {
        assert!(source.decommit(region.start, region.size));
        assert_eq!(resident_pages(region.start, region.size), Some(0));
        source.release(region);
    }
}

#[test]
fn pages_of_1_gib() {
    if cfg!(debug_assertions) {
        return skip("in optimised builds only: to find and to clear 1 GiB takes seconds");
    }
    let Some(_pool) = Pool::with(1, LargePage::Gib1) else { return };
    let source = Mmap::large(LargePage::Gib1);
    let region = source.reserve(request(4 * MIB)).expect("memory");
    assert_eq!((region.size, smaps(region.start, "KernelPageSize:")), (1 << 30, "1048576 kB".into()));
    assert_eq!(source.reserved(), Reserved { in_large_pages: 1 << 30, in_usual_pages: 0 });
    // SAFETY: used by nobody.
    unsafe { source.release(region) };
}

#[test]
fn a_heap_lies_in_large_pages() {
    let Some(pool) = Pool::with(48, LargePage::Mib2) else { return };
    let free = pool.free();
    let heap = OsHeap::with_source(Mmap::large(LargePage::Mib2));
    let mut blocks = Vec::new();
    for size in [16, 100, 5000, 300_000, 3 << 20] {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        let block = heap.allocate(layout).expect("memory");
        fill(block, size, size as u8);
        assert_eq!(smaps(block, "KernelPageSize:"), "2048 kB", "a block of {size} bytes");
        blocks.push((block, layout));
    }
    for (block, layout) in blocks {
        assert!(holds_only(block, layout.size(), layout.size() as u8));
        // SAFETY: a block of this heap, used no more.
        unsafe { heap.deallocate(block, layout) };
    }
    heap.purge();
    heap.assert_valid();
    let reserved = heap.source().reserved();
    assert!(reserved.in_large_pages >= 64 * MIB && reserved.in_usual_pages == 0, "{reserved:?}");
    drop(heap);
    assert_eq!(pool.free(), free);
}

/// States what a source in large pages can do, without what it refuses.
struct InLargePages(Mmap);

// SAFETY: regions are the source's own.
unsafe impl PageSource for InLargePages {
    const FRESH_IS_ZERO: bool = Mmap::FRESH_IS_ZERO;
    const RELEASES: bool = Mmap::RELEASES;

    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        self.0.reserve(request)
    }

    unsafe fn release(&self, region: Region) {
        // SAFETY: the caller's promise.
        unsafe { self.0.release(region) };
    }
}

#[test]
fn large_pages_conform() {
    let Some(_pool) = Pool::with(64, LargePage::Mib2) else { return };
    conformance(|| InLargePages(Mmap::large(LargePage::Mib2)));
}

#[test]
fn the_environment_asks_for_large_pages() {
    let Some(_pool) = Pool::with(4, LargePage::Mib2) else { return };
    let in_large_pages = |value: &CStr| {
        in_child(|| {
            // SAFETY: the child has one thread.
            unsafe { libc::setenv(c"COREHEAP_PAGES".as_ptr(), value.as_ptr(), 1) };
            let source = Mmap::new();
            source.reserve(request(4 * MIB)).is_some() && source.reserved().in_large_pages == 4 * MIB
        })
    };
    assert!(in_large_pages(c"2M"));
    assert!(!in_large_pages(c"") && !in_large_pages(c"2MB") && !in_large_pages(c"large"));
}
