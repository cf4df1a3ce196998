//! Work for a heap: blocks that come, change their size and go, with contents that are checked.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Sizes of blocks. Few: each size class has a page of its own, and there are few kibibytes.
pub const SIZES: [usize; 4] = [12, 32, 56, 80];

/// Xorshift.
struct Random(u32);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }
}

/// A block of so many bytes, each of which follows from the length; `None` if there is no memory.
pub fn block(size: usize) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    extend(&mut block, size).then_some(block)
}

/// Makes a block longer, if there is memory.
fn extend(block: &mut Vec<u8>, size: usize) -> bool {
    let has_room = block.try_reserve_exact(size.saturating_sub(block.len())).is_ok();
    if has_room {
        block.clear();
        block.extend((0..size).map(|index| byte(size, index)));
    }
    has_room
}

fn byte(size: usize, index: usize) -> u8 {
    (size * 31 + index * 7) as u8
}

/// That a block has what it was given.
pub fn check(block: &[u8]) {
    let is_right = block.iter().enumerate().all(|(index, byte_there)| *byte_there == byte(block.len(), index));
    assert!(is_right, "somebody else wrote into a block of {} bytes", block.len());
}

/// Blocks and names that live for a while.
pub struct Work {
    random: Random,
    blocks: [Vec<u8>; 12],
    names: BTreeMap<u32, String>,
    /// Requests that were refused: there are few bytes.
    pub refused: u32,
}

impl Work {
    /// Nothing yet.
    pub const fn new() -> Self {
        Work { random: Random(1), blocks: [const { Vec::new() }; 12], names: BTreeMap::new(), refused: 0 }
    }

    /// Checks a block and a name, and puts others in their places.
    pub fn step(&mut self) {
        let index = self.random.below(12) as usize;
        check(&self.blocks[index]);
        let most = if index == 0 { 700 } else { SIZES[self.random.below(SIZES.len() as u32) as usize] };
        let size = most - self.random.below(4) as usize;
        if self.random.below(3) == 0 {
            self.refused += u32::from(!extend(&mut self.blocks[index], size));
        } else {
            self.blocks[index] = Vec::new();
            match block(size) {
                Some(block) => self.blocks[index] = block,
                None => self.refused += 1,
            }
        }

        let number = self.random.below(24);
        if let Some(name) = self.names.remove(&number) {
            assert_eq!(name.strip_prefix("number ").and_then(|text| text.parse().ok()), Some(number));
        } else {
            let mut name = String::new();
            match name.try_reserve(16).map(|()| write!(name, "number {number}")) {
                Ok(_) => drop(self.names.insert(number, name)),
                Err(_) => self.refused += 1,
            }
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}
