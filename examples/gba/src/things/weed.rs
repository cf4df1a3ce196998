use alloc::vec::Vec;

use super::{Point, Thing, wave};
use crate::art::{Sprite, THINGS};
use crate::pond::Around;
use crate::screen::{BACK, DisplayList};

/// How many frames a joint takes to grow.
const GROWTH: u32 = 60;

/// A plant, which grows and sways.
pub struct Weed {
    root: Point,
    tallest: usize,
    age: u32,
    /// How far each joint has swayed, from the root on, in 1/256 of a pixel.
    joints: Vec<i32>,
}

impl Weed {
    pub fn new(root: Point, tallest: usize) -> Self {
        Weed { root, tallest, age: (root.x / 256) as u32, joints: Vec::new() }
    }
}

impl Thing for Weed {
    fn step(&mut self, _: &mut Around) -> bool {
        self.age += 1;
        if self.joints.len() < 2 || self.joints.len() < self.tallest && self.age.is_multiple_of(GROWTH) {
            self.joints.push(0);
        }
        for (height, sway) in self.joints.iter_mut().enumerate() {
            *sway = wave(self.age * 2 + 24 * height as u32) * height as i32 / 2;
        }
        true
    }

    fn draw(&self, list: &mut DisplayList) {
        for (height, sway) in self.joints.iter().enumerate() {
            let at = self.root.plus(Point { x: *sway, y: -7 * 256 * height as i32 });
            let sprite = if height + 1 == self.joints.len() { Sprite::WeedTip } else { Sprite::Weed };
            list.add(sprite, at, THINGS, BACK, height % 2 == 1);
        }
    }
}
