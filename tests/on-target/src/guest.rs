//! [`Guest`]: an interrupt's use of a heap that the main program drives.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use coreheap_tests::blocks::{holds, layout};
use coreheap_tests::rng::Rng;

use crate::watched::is_inside;

/// Most bytes of a block.
const MOST: usize = 256;

/// A block, each byte of which is the lowest of its size's.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: whoever has it owns the block.
unsafe impl Send for Block {}

/// Blocks that come and go, and what happened.
pub struct Guest {
    heap: &'static (dyn GlobalAlloc + Sync),
    random: Rng,
    blocks: [Option<Block>; 8],
    /// How often it came.
    pub visits: u32,
    /// How many of these interrupted a call of the main program's.
    pub inside: u32,
    /// Requests that were served.
    pub served: u32,
    /// Requests that were refused.
    pub refused: u32,
}

impl Guest {
    /// Without blocks.
    pub fn new(heap: &'static (dyn GlobalAlloc + Sync)) -> Self {
        Guest { heap, random: Rng::new(3), blocks: [const { None }; 8], visits: 0, inside: 0, served: 0, refused: 0 }
    }

    /// Allocates a block, or gives one more bytes, or checks and frees one. Returns after how many ticks it wants to come again: soon, and
    /// not always after the same time.
    pub fn visit(&mut self) -> u32 {
        self.visits += 1;
        self.inside += u32::from(is_inside());
        let random = self.random.draw() as usize;
        let size = 1 + (random >> 3) % MOST;
        let block = match self.blocks[random % 8].take() {
            None => self.allocate(size),
            Some(block) if random & 1 << 16 == 0 => self.resize(block, size),
            Some(block) => self.free(block),
        };
        self.blocks[random % 8] = block;
        200 + (random >> 20) as u32 % 2048
    }

    /// Checks and frees all.
    pub fn leave(&mut self) {
        for index in 0..self.blocks.len() {
            self.blocks[index] = self.blocks[index].take().and_then(|block| self.free(block));
        }
    }

    fn allocate(&mut self, size: usize) -> Option<Block> {
        let layout = layout(size);
        // SAFETY: the size is not 0.
        let start = self.count(unsafe { self.heap.alloc(layout) })?;
        Some(Block::filled(start, layout))
    }

    fn resize(&mut self, block: Block, size: usize) -> Option<Block> {
        block.check(block.layout.size());
        // SAFETY: the block is live, and the size is not 0.
        let start = unsafe { self.heap.realloc(block.start.as_ptr(), block.layout, size) };
        let Some(start) = self.count(start) else { return Some(block) };
        Block { start, layout: block.layout }.check(size.min(block.layout.size()));
        Some(Block::filled(start, layout(size)))
    }

    fn free(&mut self, block: Block) -> Option<Block> {
        block.check(block.layout.size());
        // SAFETY: the block is live, and forgotten now.
        unsafe { self.heap.dealloc(block.start.as_ptr(), block.layout) };
        None
    }

    fn count(&mut self, start: *mut u8) -> Option<NonNull<u8>> {
        let start = NonNull::new(start);
        *(if start.is_some() { &mut self.served } else { &mut self.refused }) += 1;
        start
    }
}

impl Block {
    fn filled(start: NonNull<u8>, layout: Layout) -> Self {
        // SAFETY: the block's bytes.
        unsafe { start.write_bytes(layout.size() as u8, layout.size()) };
        Block { start, layout }
    }

    /// That nobody else wrote into its first `size` bytes.
    fn check(&self, size: usize) {
        // SAFETY: the block's bytes, which `filled` wrote.
        let is_right = unsafe { holds(self.start, size, self.layout.size() as u8) };
        assert!(is_right, "somebody else wrote into an interrupt's block of {} bytes", self.layout.size());
    }
}
