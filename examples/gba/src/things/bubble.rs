use gba::random::Gen32;

use super::{Point, SURFACE, Thing, wave};
use crate::art::{Sprite, THINGS};
use crate::pond::Around;
use crate::screen::{DisplayList, FRONT};

/// Air on its way up.
pub struct Bubble {
    at: Point,
    phase: u32,
    is_big: bool,
}

impl Bubble {
    pub fn new(at: Point, around: &mut Around) -> Self {
        Bubble { at, phase: around.random.next_bounded(256).into(), is_big: around.random.next_bounded(3) == 0 }
    }
}

impl Thing for Bubble {
    fn step(&mut self, _: &mut Around) -> bool {
        self.phase += 5;
        self.at.y -= if self.is_big { 160 } else { 110 };
        self.at.x += wave(self.phase) / 4;
        self.at.y > SURFACE * 256
    }

    fn draw(&self, list: &mut DisplayList) {
        list.add(if self.is_big { Sprite::BigBubble } else { Sprite::Bubble }, self.at, THINGS, FRONT, false);
    }
}
