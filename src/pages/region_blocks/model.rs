//! Models of entries: whoever finds one finds it as it was written.

use std::boxed::Box;

use super::*;
use crate::base::sync::array_of;
use crate::base::sync::model::{Arc, explore, thread};

/// Where nothing is ever asked for: the models have regions.
struct Source;

// SAFETY: hands out nothing.
unsafe impl PageSource for Source {
    const RELEASES: bool = true;

    fn reserve(&self, _: RegionRequest) -> Option<Region> {
        None
    }

    unsafe fn release(&self, region: Region) {
        assert_eq!(region.size, region.start.addr().get(), "a region of another size");
    }
}

/// A group that stays until the model's threads have ended.
struct Made(*mut Group);

// SAFETY: the model uses it in one thread at a time.
unsafe impl Send for Made {}

impl Made {
    fn add_to(list: &RegionBlocks) -> Made {
        let blocks = array_of!(RegionBlock {
            start: AtomicUsize::new(UNUSED),
            size: AtomicUsize::new(0),
            region_start: AtomicPtr::new(null_mut()),
            region_size: AtomicUsize::new(0),
        });
        let group = Group { next: AtomicPtr::new(null_mut()), blocks };
        let made = Made(Box::into_raw(Box::new(group)));
        // SAFETY: made just now, and it stays.
        unsafe { list.add(NonNull::new(made.0).unwrap()) };
        made
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: made by `add_to`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Blocks with one group.
fn with_group() -> (Arc<RegionBlocks>, Made) {
    let blocks = RegionBlocks::new();
    let made = Made::add_to(&blocks);
    (Arc::new(blocks), made)
}

/// Opens a block of a region that is as long as its address says, if there is an entry.
fn open(blocks: &RegionBlocks, start: usize) -> Option<&RegionBlock> {
    let region = Region { start: NonNull::new(core::ptr::without_provenance_mut(start)).unwrap(), size: start };
    let block = blocks.claim_unused()?;
    assert_eq!(block.open(&Source, region, start / 2, 1), Some(start));
    Some(block)
}

/// The region and the size of the block that starts here, if it is found.
fn found(blocks: &RegionBlocks, start: usize) -> Option<(usize, usize)> {
    let block = blocks.find(start)?;
    let region = block.region().expect("O1: a block has a region");
    assert_eq!(region.start.addr().get(), region.size, "O1: of one region");
    Some((region.size, block.size()))
}

/// Two contexts add entries: who claims one finds it as it was made.
#[test]
fn new_entries_are_found_as_they_were_made() {
    explore(|| {
        let blocks = Arc::new(RegionBlocks::new());
        let other = {
            let blocks = blocks.clone();
            thread::spawn(move || Made::add_to(&blocks))
        };
        let finder = {
            let blocks = blocks.clone();
            thread::spawn(move || assert!(blocks.blocks().next().is_none()))
        };
        let _made = Made::add_to(&blocks);
        finder.join().unwrap();
        let _others = other.join().unwrap();
        assert_eq!(blocks.entries().count(), 2 * GROUP);
    });
}

/// Who finds a block finds it as it was opened, or resized since.
#[test]
fn a_block_is_found_as_it_was_opened() {
    explore(|| {
        let (blocks, _made) = with_group();
        let other = {
            let blocks = blocks.clone();
            thread::spawn(move || {
                let block = open(&blocks, 4096).unwrap();
                assert!(block.resize(&Source, 4096, 1024, 1).is_some());
            })
        };
        assert!(matches!(found(&blocks, 4096), None | Some((4096, 2048 | 1024))));
        other.join().unwrap();
        assert_eq!(found(&blocks, 4096), Some((4096, 1024)));
    });
}

/// The entry of a block that was freed is another one's, which shows nothing of the first.
#[test]
fn a_freed_entry_is_anothers() {
    explore(|| {
        let (blocks, _made) = with_group();
        let other = {
            let blocks = blocks.clone();
            thread::spawn(move || open(&blocks, 4096).is_some_and(|block| block.free(&Source, 4096)))
        };
        let is_mine = open(&blocks, 8192).is_some();
        assert!(other.join().unwrap() || is_mine);
        assert_eq!(found(&blocks, 8192), is_mine.then_some((8192, 4096)));
    });
}

/// A block that is freed twice is freed once.
#[test]
fn a_block_is_freed_once() {
    explore(|| {
        let (blocks, _made) = with_group();
        assert!(open(&blocks, 4096).is_some());
        let free = |blocks: &RegionBlocks| blocks.find(4096).is_some_and(|block| block.free(&Source, 4096));
        let other = {
            let blocks = blocks.clone();
            thread::spawn(move || free(&blocks))
        };
        assert!(free(&blocks) != other.join().unwrap());
    });
}
