//! Regions at the end of the address space, where the address behind the last byte is 0.
//!
//! Programs of most systems cannot have that memory. Two things can be tested all the same: what a heap does with such addresses
//! before it touches them, and a heap over the highest memory that this system does give. The second test says how high that was.

use coreheap::{Compact, Geometry, Heap, SingleCore, Tiny};
use coreheap_tests::fuzz::single_core;
use coreheap_tests::geometries::Hosted;
use coreheap_tests::refusals::Call;
use coreheap_tests::sources::AddressesOnly;
use std::alloc::Layout;

fn addresses_only<G: Geometry>() {
    for size in [
        1,
        100,
        G::SLICE_SIZE - 1,
        G::SLICE_SIZE,
        10 * G::SLICE_SIZE + 1,
        1 << 16,
        1 << 20,
        (1 << 24) - 3,
        usize::MAX / 4,
        isize::MAX as usize,
    ] {
        let heap = Heap::<_, SingleCore, G>::new(AddressesOnly::at_the_end(size), single_core());
        for layout in [
            Layout::new::<u8>(),
            Layout::from_size_align(G::MAX_BLOCK + 1, 4096).unwrap(),
            Layout::from_size_align(size, 1).unwrap(),
        ] {
            assert_eq!(heap.allocate(layout), None, "none of {size} bytes can be committed");
        }
        let refusals = heap.source().refusals();
        assert!(refusals.calls(Call::Reserve) > 0);
        if size >= 1 << 20 {
            assert!(refusals.calls(Call::Commit) > 0, "{size} bytes are enough to try");
        }
        heap.assert_valid();
    }
}

#[test]
fn arithmetic_does_not_wrap() {
    addresses_only::<Tiny>();
    addresses_only::<Compact>();
    addresses_only::<Hosted>();
}

#[cfg(all(unix, not(miri)))]
mod mapped {
    use super::*;
    use coreheap::sources::FixedRegion;
    use coreheap_tests::actions::{Driver, Limits};
    use coreheap_tests::rng::Rng;

    const SIZE: usize = 1 << 20;

    /// The highest memory of `SIZE` bytes that this system gives.
    fn highest() -> *mut u8 {
        // Wide steps down from the top until something can be had, then narrow ones back up.
        let map = |start: usize| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let wanted = core::ptr::without_provenance_mut(start);
            // SAFETY: takes no memory that is in use: the address is a wish.
            let got = unsafe { libc::mmap(wanted, SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            if got != libc::MAP_FAILED && got.addr() != start {
                // SAFETY: mapped just now, elsewhere.
                unsafe { libc::munmap(got, SIZE) };
                return None;
            }
            (got != libc::MAP_FAILED).then_some(got.cast::<u8>())
        };
        let mut start = usize::MAX - SIZE + 1;
        if let Some(found) = map(start) {
            return found;
        }
        // By 4 KiB over the last 64 MiB, then by halves of what is left.
        for _ in 0..16 * 1024 {
            start -= 4096;
            if let Some(found) = map(start) {
                return found;
            }
        }
        while start > SIZE {
            start = (start / 2).next_multiple_of(4096);
            for below in 0..4096 {
                if let Some(found) = map(start - SIZE - below * 4096) {
                    return found;
                }
            }
        }
        panic!("no memory at all");
    }

    fn use_region<G: Geometry>(start: *mut u8, size: usize) {
        // SAFETY: mapped, and each heap is dropped before the next one is made.
        let new_heap = || Heap::<_, SingleCore, G>::new(unsafe { FixedRegion::over(start, size) }, single_core());
        let heap = new_heap();
        let inside = |block: usize, length: usize| block >= start.addr() && block - start.addr() <= size - length;
        let mut driver = Driver::new(&heap, &inside);
        let limits = Limits { size: 64 * 1024, align: 65536, live: 500 };
        driver.run(&mut Rng::new(7), &limits, 5000);
        assert!(driver.finish().allocated > 1000);
        drop(heap);
        // The last slices there are: some block, or metadata, ends where the region ends, or less than two slices before. In a fresh heap:
        // metadata of the old one would stand between two holes.
        let heap = new_heap();
        let layout = Layout::from_size_align(G::MAX_BLOCK + 1, 1).unwrap();
        let blocks: Vec<_> = core::iter::from_fn(|| heap.allocate(layout)).collect();
        let last = blocks.iter().map(|block| block.addr().get() + G::MAX_BLOCK).max().unwrap();
        let left = start.addr() + (size - 1) - last;
        let metadata = heap.stats().metadata;
        assert!(left < G::MAX_BLOCK + 2 * G::SLICE_SIZE + metadata, "{left} bytes at the end, {metadata} of metadata");
        for block in blocks {
            // SAFETY: a live block of this layout.
            unsafe {
                block.write_bytes(1, layout.size());
                heap.deallocate(block, layout);
            }
        }
        assert_eq!(heap.stats().used, 0);
    }

    #[test]
    fn the_highest_memory_there_is() {
        let start = highest();
        let last = start.addr() + (SIZE - 1);
        match usize::MAX - last {
            0 => println!("a heap at the very end of the address space"),
            short => {
                println!("the system gives no memory at the end of the address space: the highest ends {short} bytes before")
            }
        }
        for size in [SIZE, SIZE / 2 + 13] {
            let start = start.wrapping_add(SIZE - size);
            use_region::<Tiny>(start, size);
            use_region::<Compact>(start, size);
            use_region::<Hosted>(start, size);
        }
        // SAFETY: mapped above, used no more.
        unsafe { libc::munmap(start.cast(), SIZE) };
    }
}
