use alloc::collections::VecDeque;
use alloc::format;

use super::{BOTTOM, Point, SURFACE, Thing, WIDTH, wave};
use crate::art::{EELS, Sprite};
use crate::pond::Around;
use crate::screen::{DisplayList, MIDDLE};

/// Joints at first, and at most.
const SHORTEST: usize = 7;
const LONGEST: usize = 14;
/// How near food must be to be eaten, in pixels.
const REACH: i32 = 9;

/// Swims in waves, and becomes longer by what it eats.
pub struct Eel {
    at: Point,
    is_leftward: bool,
    age: u32,
    length: usize,
    /// Where the head was, the latest first: there is the body now.
    trail: VecDeque<Point>,
}

impl Eel {
    pub fn new(at: Point) -> Self {
        Eel { at, is_leftward: at.x > WIDTH * 128, age: (at.y / 256) as u32, length: SHORTEST, trail: VecDeque::new() }
    }
}

impl Thing for Eel {
    fn step(&mut self, around: &mut Around) -> bool {
        self.age += 1;
        let speed = if self.is_leftward { -190 } else { 190 };
        let mut lift = wave(self.age * 3) / 2;
        if let Some(food) = around.nearest_food(self.at, 60, |_| true) {
            lift += (food.at.y - self.at.y).clamp(-120, 120);
            if food.at.distance(self.at) < REACH {
                food.is_eaten = true;
                self.length = (self.length + 1).min(LONGEST);
                around.ate("AN EEL", |count| format!("AN EEL ATE {count}"));
            }
        }
        self.at = self.at.plus(Point { x: speed, y: lift });
        self.at.y = self.at.y.clamp((SURFACE + 8) * 256, (BOTTOM - 10) * 256);
        // It turns once all of it is out of sight.
        if !(-110 * 256..(WIDTH + 110) * 256).contains(&self.at.x) {
            self.is_leftward = self.at.x > 0;
        }
        if self.age.is_multiple_of(4) {
            self.trail.push_front(self.at);
            self.trail.truncate(self.length);
        }
        true
    }

    fn draw(&self, list: &mut DisplayList) {
        list.add(Sprite::EelHead, self.at, EELS, MIDDLE, self.is_leftward);
        for (joint, at) in self.trail.iter().enumerate().skip(1) {
            let sprite = if joint + 2 < self.trail.len() { Sprite::Eel } else { Sprite::EelTail };
            list.add(sprite, *at, EELS, MIDDLE, self.is_leftward);
        }
    }
}
