use super::{BOTTOM, Point, Thing, wave};
use crate::art::{Sprite, THINGS};
use crate::pond::Around;
use crate::screen::{DisplayList, MIDDLE};

/// How many frames food keeps.
const KEEPS: u32 = 300;

/// Food.
pub struct Flake {
    at: Point,
    age: u32,
}

impl Flake {
    pub fn new(at: Point) -> Self {
        Flake { at, age: 0 }
    }
}

impl Thing for Flake {
    fn step(&mut self, _: &mut Around) -> bool {
        self.age += 1;
        if self.at.y < (BOTTOM - 2) * 256 {
            self.at = self.at.plus(Point { x: wave(self.age * 4) / 3, y: 100 });
        }
        self.age < KEEPS
    }

    fn draw(&self, list: &mut DisplayList) {
        list.add(Sprite::Flake, self.at, THINGS, MIDDLE, false);
    }

    fn food(&self) -> Option<Point> {
        Some(self.at)
    }
}
