//! Heaps whose memory is limited, on every system.

use std::alloc::Layout;

use coreheap_os::coreheap::PageSource;
use coreheap_os::coreheap::sources::Limited;
use coreheap_os::{HostPages, OsHeap};
use coreheap_tests::blocks::holds;

const MIB: usize = 1 << 20;

#[test]
fn heaps_work_over_limited_memory() {
    let limited = OsHeap::with_source(Limited::new(HostPages::new(), 32 * MIB));
    use_up(&limited, 20 * MIB);
    assert!(is_limited(&limited, 33 * MIB));
    use_up(&limited, 20 * MIB);
    assert!(limited.stats().committed <= 32 * MIB, "{}", limited.stats());
}

#[cfg(unix)]
#[test]
fn heaps_work_over_strict_memory() {
    let strict = OsHeap::with_source(HostPages::strict());
    use_up(&strict, 40 * MIB);
    assert!(strict.stats().committed < 8 * MIB, "{}", strict.stats());
    assert!(!is_limited(&strict, 40 * MIB));
}

/// Allocates `bytes` of blocks of all sizes, writes to them, frees them, and gives the memory back.
fn use_up<S: PageSource>(heap: &OsHeap<S>, bytes: usize) {
    let (mut blocks, mut left, mut size) = (Vec::new(), bytes, 8);
    while left > 0 {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        let block = heap.allocate(layout).expect("memory");
        // SAFETY: a fresh block of this size.
        unsafe { block.write_bytes(size as u8, size) };
        blocks.push((block, layout));
        left = left.saturating_sub(size);
        size = if size > 100_000 { 8 } else { size + size / 7 + 1 };
    }
    for (block, layout) in blocks {
        // SAFETY: a block of this heap, used no more.
        unsafe {
            assert!(holds(block, layout.size(), layout.size() as u8));
            heap.deallocate(block, layout);
        }
    }
    heap.purge();
    heap.assert_valid();
}

/// Whether `bytes` of 64 KiB blocks are more than can be had; nothing stays allocated.
fn is_limited<S: PageSource>(heap: &OsHeap<S>, bytes: usize) -> bool {
    let layout = Layout::from_size_align(64 * 1024, 8).expect("a layout");
    let mut blocks = Vec::new();
    while blocks.len() * layout.size() < bytes {
        let Some(block) = heap.allocate(layout) else { break };
        blocks.push(block);
    }
    let limited = blocks.len() * layout.size() < bytes;
    // SAFETY: blocks of this heap.
    blocks.into_iter().for_each(|block| unsafe { heap.deallocate(block, layout) });
    heap.purge();
    limited
}
