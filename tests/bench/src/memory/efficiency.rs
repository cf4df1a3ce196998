//! talc's heap efficiency: random actions in an arena until a request is refused.
//!
//! Of ten actions five allocate up to 10,000 bytes, one frees, and four change a size to anything up to 100,000 bytes.

use std::alloc::{GlobalAlloc, Layout};

use coreheap_os::coreheap::sources::FixedRegion;
use coreheap_os::coreheap::{Compact, Heap, SingleCore};

use crate::numbers::Random;

const BYTES: usize = 128 << 20;
const ROUNDS: usize = 20;

/// The mean share of the arena that is live at the first refusal; `None` for allocators that take no arena.
pub fn measure(allocator: &str) -> Option<f64> {
    // Zeroed memory of the system's, which is not touched here.
    let arena: &mut [u64] = Box::leak(vec![0; BYTES / 8].into_boxed_slice());
    match allocator {
        "coreheap" => {
            // SAFETY: the arena is nobody else's; there is one thread.
            let heap = unsafe {
                Heap::<FixedRegion, SingleCore, Compact>::new(
                    FixedRegion::over(arena.as_mut_ptr().cast(), BYTES),
                    SingleCore::new(),
                )
            };
            Some(fill(&heap))
        }
        #[cfg(feature = "peers")]
        "talc" => {
            let talc = talc::TalcLock::<spinning_top::RawSpinlock, _>::new(talc::source::Manual);
            // SAFETY: the arena is nobody else's.
            unsafe { talc.lock().claim(arena.as_mut_ptr().cast(), BYTES) }.expect("it is big enough");
            Some(fill(&talc))
        }
        _ => None,
    }
}

fn fill<A: GlobalAlloc>(allocator: &A) -> f64 {
    let mut random = Random::new();
    let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
    let mut used = 0;
    for _ in 0..ROUNDS {
        loop {
            let (action, size) = (random.below(10), random.below(10_000) + 1);
            let place = random.below(blocks.len().max(1));
            if action < 5 {
                // Four times as much alignment is a quarter as frequent.
                let align = 8 << (random.below(1 << 16).trailing_zeros() / 2).min(8);
                let layout = Layout::from_size_align(size, align).expect("sizes are small");
                // SAFETY: the size is not 0.
                let start = unsafe { allocator.alloc(layout) };
                if start.is_null() {
                    break;
                }
                blocks.push((start, layout));
            } else if blocks.is_empty() {
                continue;
            } else if action == 5 {
                let (start, layout) = blocks.swap_remove(place);
                // SAFETY: it is live, and forgotten now.
                unsafe { allocator.dealloc(start, layout) };
            } else {
                let (start, layout) = blocks[place];
                let size = random.below(100_000) + 1;
                // SAFETY: it is live; the size is not 0.
                let moved = unsafe { allocator.realloc(start, layout, size) };
                if moved.is_null() {
                    break;
                }
                blocks[place] = (moved, Layout::from_size_align(size, layout.align()).expect("sizes are small"));
            }
        }
        used += blocks.iter().map(|(_, layout)| layout.size()).sum::<usize>();
        // SAFETY: they are live, and forgotten now.
        blocks.drain(..).for_each(|(start, layout)| unsafe { allocator.dealloc(start, layout) });
    }
    used as f64 / (ROUNDS * BYTES) as f64
}
