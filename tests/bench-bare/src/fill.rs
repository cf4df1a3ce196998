//! How full a region can be: random actions, the same for all, until a request is refused; and how many are in a long run.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;

use fastrand::Rng;

/// More blocks than 4 MiB hold.
const MOST_BLOCKS: usize = 8192;
/// Actions at 60 % before the region is filled up.
const CHURN: usize = 4_000;
/// Actions of the long run, whose live set goes up to 80 % and down to 70 % in turns.
const LONG_CHURN: usize = 100_000;
/// For so many seeds.
const LONG_SEEDS: u64 = 5;
const HALF_PERIOD: usize = 1_000;

/// What came out for one seed.
#[derive(Debug)]
pub struct Outcome {
    /// Bytes in live blocks, as asked for, when the first request was refused.
    pub live: usize,
    /// Requests of the long run; 0 if there was none.
    pub requests: usize,
    /// Those of them that were refused.
    pub refused: usize,
}

/// Measures a region of so many bytes, which is empty again in the end. The long run is for the first seeds.
pub fn run<A: GlobalAlloc>(allocator: &A, blocks: &mut Blocks, bytes: usize, seed: u64) -> Outcome {
    let mut random = Rng::with_seed(seed);
    for _ in 0..CHURN {
        blocks.act(allocator, &mut random, bytes, bytes / 5 * 3);
    }
    while blocks.add(allocator, layout(&mut random, bytes)) {}
    let live = blocks.served();
    blocks.clear(allocator);

    let (mut requests, mut refused) = (0, 0);
    let actions = if seed < LONG_SEEDS { LONG_CHURN } else { 0 };
    for action in 0..actions {
        let percent = if (action / HALF_PERIOD).is_multiple_of(2) { 80 } else { 70 };
        if let Some(is_served) = blocks.act(allocator, &mut random, bytes, bytes / 100 * percent) {
            requests += 1;
            refused += usize::from(!is_served);
        }
    }
    blocks.clear(allocator);
    Outcome { live, requests, refused }
}

/// Up to 256 bytes, and to 1/16 of the region; in bigger regions each power of two up to 1/64 of the region is as frequent as any other.
fn layout(random: &mut Rng, bytes: usize) -> Layout {
    let align = 1 << random.u8(..4);
    let size = match bytes {
        ..=0x1_0000 => random.usize(1..=256.min(bytes / 16)),
        _ => {
            let most = 1_usize << random.u32(..=(bytes / 64).ilog2());
            random.usize(most.div_ceil(2)..=most)
        }
    };
    Layout::from_size_align(size, align).expect("sizes are small")
}

#[derive(Clone, Copy)]
struct Block {
    /// Null: the request was refused. It counts as live in the sequence, which does not depend on the allocator.
    start: *mut u8,
    layout: Layout,
}

/// The blocks that the sequence has live.
pub struct Blocks {
    list: [Block; MOST_BLOCKS],
    count: usize,
    /// Sum of their sizes.
    bytes: usize,
}

// SAFETY: whoever has it has the blocks.
unsafe impl Send for Blocks {}

impl Blocks {
    /// None.
    pub const fn new() -> Self {
        Blocks { list: [Block { start: null_mut(), layout: Layout::new::<()>() }; MOST_BLOCKS], count: 0, bytes: 0 }
    }

    /// One action that keeps the live set near `goal` bytes; whether it was served, if it was a request.
    fn act<A: GlobalAlloc>(&mut self, allocator: &A, random: &mut Rng, bytes: usize, goal: usize) -> Option<bool> {
        let (layout, any) = (layout(random, bytes), random.usize(..MOST_BLOCKS) % self.count.max(1));
        if self.count > 0 && random.u8(..8) == 0 {
            Some(self.resize(allocator, any, layout.size()))
        } else if self.bytes < goal {
            Some(self.add(allocator, layout))
        } else {
            self.remove(allocator, any);
            None
        }
    }

    /// Asks for a block; false if it is refused.
    fn add<A: GlobalAlloc>(&mut self, allocator: &A, layout: Layout) -> bool {
        // SAFETY: no size is 0.
        let start = unsafe { allocator.alloc(layout) };
        self.list[self.count] = Block { start, layout };
        self.list[self.count].mark();
        self.count += 1;
        self.bytes += layout.size();
        !start.is_null()
    }

    fn remove<A: GlobalAlloc>(&mut self, allocator: &A, index: usize) {
        self.count -= 1;
        self.list.swap(index, self.count);
        self.bytes -= self.list[self.count].layout.size();
        self.list[self.count].free(allocator);
    }

    /// Asks for another size; if that is refused, the block is given up.
    fn resize<A: GlobalAlloc>(&mut self, allocator: &A, index: usize, size: usize) -> bool {
        let block = &mut self.list[index];
        let old = *block;
        block.layout = Layout::from_size_align(size, old.layout.align()).expect("sizes are small");
        self.bytes = self.bytes - old.layout.size() + size;
        if old.start.is_null() {
            // SAFETY: no size is 0.
            block.start = unsafe { allocator.alloc(block.layout) };
        } else {
            old.check();
            // SAFETY: the block is live, and no size is 0.
            block.start = unsafe { allocator.realloc(old.start, old.layout, size) };
            if block.start.is_null() {
                old.free(allocator);
            }
        }
        block.mark();
        !block.start.is_null()
    }

    /// Bytes of those that were not refused.
    fn served(&self) -> usize {
        let served = self.list[..self.count].iter().filter(|block| !block.start.is_null());
        served.map(|block| block.layout.size()).sum()
    }

    fn clear<A: GlobalAlloc>(&mut self, allocator: &A) {
        while self.count > 0 {
            self.remove(allocator, self.count - 1);
        }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Block {
    /// The first and the last byte, if there is a block.
    fn ends(&self) -> Option<[*mut u8; 2]> {
        (!self.start.is_null()).then(|| [self.start, self.start.wrapping_add(self.layout.size() - 1)])
    }

    fn mark(&self) {
        // SAFETY: the block's own bytes.
        self.ends().into_iter().flatten().for_each(|end| unsafe { end.write(self.layout.size() as u8) });
    }

    /// That nobody else wrote into the block.
    fn check(&self) {
        // SAFETY: the block's own bytes.
        let is_right = |end: *mut u8| unsafe { end.read() } == self.layout.size() as u8;
        assert!(self.ends().into_iter().flatten().all(is_right), "a block of {} bytes was written to", self.layout.size());
    }

    fn free<A: GlobalAlloc>(&self, allocator: &A) {
        self.check();
        if !self.start.is_null() {
            // SAFETY: it is live, and forgotten now.
            unsafe { allocator.dealloc(self.start, self.layout) };
        }
    }
}
