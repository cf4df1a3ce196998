//! Models of ready blocks: each has one owner, who sees what the one before wrote.

use super::*;
use crate::base::sync::model::{Arc, UnsafeCell, explore, thread};

/// Slots in which blocks of 8 bytes may be, and what lies in those at 8, 16 and 24.
struct World {
    ready: Ready,
    blocks: [UnsafeCell<usize>; 3],
}

impl World {
    fn new() -> Arc<World> {
        let world = World { ready: Ready::new(), blocks: core::array::from_fn(|_| UnsafeCell::new(0)) };
        world.ready.set_limit(MAX_READY);
        Arc::new(world)
    }

    /// Writes into a block that this context has; returns its address.
    fn write(&self, block: NonZeroUsize) -> usize {
        // SAFETY: the model checks that nobody else has it.
        self.blocks[block.get() / GRANULE - 1].with_mut(|cell| unsafe { cell.write(block.get()) });
        block.get()
    }

    /// Writes into the block at this address, and makes it ready; the one that goes home instead.
    fn put(&self, address: usize) -> Option<usize> {
        let block = NonZeroUsize::new(address).unwrap();
        self.write(block);
        self.ready.put(GRANULE, block).map(|block| self.write(block))
    }

    fn take(&self) -> Option<usize> {
        self.ready.take(GRANULE).map(|block| self.write(block))
    }
}

/// A block that is freed is allocated elsewhere.
#[test]
fn a_ready_block_goes_from_hand_to_hand() {
    explore(|| {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.take())
        };
        assert_eq!(world.put(8), None);
        let taken = other.join().unwrap();
        assert_eq!(taken.or_else(|| world.take()), Some(8));
    });
}

/// Of two blocks that are freed where one has room the other goes home.
#[test]
fn one_of_two_blocks_goes_home() {
    explore(|| {
        let world = World::new();
        assert_eq!(world.put(8), None);
        let other = {
            let world = world.clone();
            thread::spawn(move || world.put(16))
        };
        let mine = world.put(24);
        let home = [mine, other.join().unwrap()].into_iter().flatten();
        let mut all: std::vec::Vec<_> = home.chain(core::iter::from_fn(|| world.take())).collect();
        all.sort();
        assert_eq!(all, [8, 16, 24]);
    });
}
