//! Stands in for [`RseqCores`] where there are no restartable sequences: never offered, never asked.

use coreheap::{Block, CoreHeap, CoreLocal, CoreSlot, Geometry, SizeClass};

/// Nothing.
#[derive(Debug)]
pub struct RseqCores;

/// Never made.
#[derive(Clone, Copy, Debug)]
pub enum Area {}

/// Not here.
pub fn probe() -> Option<Area> {
    None
}

impl RseqCores {
    /// Nothing.
    pub const fn new() -> Self {
        RseqCores
    }

    /// Never called.
    pub fn open(&self, area: Area) {
        match area {}
    }

    /// Never.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        false
    }
}

// SAFETY: there is no magazine.
unsafe impl CoreLocal for RseqCores {
    fn core_count(&self) -> usize {
        0
    }

    fn slot(&self, _: usize) -> &CoreSlot {
        unreachable!("there are no slots")
    }

    fn core(&self) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, _: SizeClass) -> Option<Block> {
        None
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, _: SizeClass, block: Block) -> Result<(), Block> {
        Err(block)
    }

    unsafe fn alone_on<G: Geometry, R>(&self, _: usize, _: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        None
    }
}
