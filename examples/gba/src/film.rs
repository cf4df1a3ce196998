//! The last seconds, as they were on the screen: a block for each frame, as long as its list.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use gba::video::obj::ObjAttr;

use crate::screen::DisplayList;

/// Six seconds.
const FRAMES: usize = 360;

/// Film of a fixed length: the oldest frame goes when a new one comes.
pub struct Film {
    frames: VecDeque<Frame>,
}

/// The sprites' places and shapes, a word for each, and a sum of them.
struct Frame {
    sprites: Box<[u32]>,
    sum: u32,
}

impl Film {
    pub fn new() -> Self {
        Film { frames: VecDeque::new() }
    }

    /// Adds a frame.
    pub fn add(&mut self, list: &DisplayList) {
        if self.frames.len() == FRAMES {
            self.frames.pop_front();
        }
        let word =
            |sprite: &ObjAttr| u32::from(sprite.0.y()) << 24 | u32::from(sprite.1.x()) << 12 | u32::from(sprite.2.tile_id());
        let mut sprites = Vec::with_capacity(list.sprites().count());
        sprites.extend(list.sprites().map(word));
        let sum = sum(&sprites);
        self.frames.push_back(Frame { sprites: sprites.into(), sum });
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        assert_eq!(sum(&self.sprites), self.sum, "somebody else wrote into a frame of {} sprites", self.sprites.len());
    }
}

fn sum(words: &[u32]) -> u32 {
    words.iter().fold(words.len() as u32, |sum, word| sum.rotate_left(5) ^ word)
}
