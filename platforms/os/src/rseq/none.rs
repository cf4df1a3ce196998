//! Stands in for `RseqCores` where there are no restartable sequences: never offered, so never asked.

use core::num::NonZeroIsize;
use core::ptr::NonNull;
use core::sync::atomic::AtomicI32;

use coreheap::Geometry;
use coreheap::port::{Block, Blocks, CoreHeap, CoreSlot, SizeClass};

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

#[allow(clippy::extra_unused_type_parameters, reason = "they are used where there are sequences")]
impl RseqCores {
    /// Whether there may be sequences.
    pub const POSSIBLE: bool = false;

    pub const fn new() -> Self {
        RseqCores
    }

    pub fn open(&self, area: Area) {
        match area {}
    }

    #[inline(always)]
    pub fn area(&self) -> Option<NonZeroIsize> {
        None
    }

    pub fn number_of_this_thread(&self) -> Option<NonNull<AtomicI32>> {
        None
    }

    pub fn core_count(&self) -> usize {
        0
    }

    pub fn slot(&self, _: usize) -> &CoreSlot {
        unreachable!("there are no slots")
    }

    pub unsafe fn install<G: Geometry>(&self, _: usize, _: *mut CoreHeap<G>) -> bool {
        unreachable!("there are no slots")
    }

    pub fn core(&self) -> usize {
        0
    }

    #[inline(always)]
    pub unsafe fn pop<G: Geometry>(&self, _: NonZeroIsize, _: SizeClass) -> Option<Block> {
        None
    }

    #[inline(always)]
    pub unsafe fn push<G: Geometry>(&self, _: NonZeroIsize, _: Option<SizeClass>, block: Block) -> Result<(), Block> {
        Err(block)
    }

    pub unsafe fn pop_many<G: Geometry>(&self, _: SizeClass, _: &mut Blocks, _: usize) {}

    pub unsafe fn push_many<G: Geometry>(&self, _: SizeClass, _: &mut Blocks) {}

    pub unsafe fn alone_on<G: Geometry, R>(&self, _: usize, _: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        None
    }

    pub unsafe fn alone_on_each<G: Geometry>(&self, _: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        None
    }
}
