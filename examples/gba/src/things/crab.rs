use alloc::format;

use super::{BOTTOM, Point, Thing, WIDTH};
use crate::art::{Sprite, THINGS};
use crate::pond::Around;
use crate::screen::{DisplayList, MIDDLE};

/// How near food must be to be eaten, in pixels.
const REACH: i32 = 10;

/// Walks to the food that lies on the ground.
pub struct Crab {
    at: Point,
    speed: i32,
    age: u32,
}

impl Crab {
    pub fn new(at: Point) -> Self {
        Crab { at: Point { y: (BOTTOM - 4) * 256, ..at }, speed: 60, age: 0 }
    }
}

impl Thing for Crab {
    fn step(&mut self, around: &mut Around) -> bool {
        self.age += 1;
        let on_ground = |food: &Point| food.y > (BOTTOM - 12) * 256;
        if let Some(food) = around.nearest_food(self.at, 80, on_ground) {
            self.speed = if food.at.x > self.at.x { 120 } else { -120 };
            if food.at.distance(self.at) < REACH {
                food.is_eaten = true;
                around.ate("A CRAB", |count| format!("A CRAB ATE {count}"));
            }
        }
        self.at.x += self.speed;
        if !(8 * 256..(WIDTH - 24) * 256).contains(&self.at.x) {
            self.speed = -self.speed;
            self.at.x += 2 * self.speed;
        }
        true
    }

    fn draw(&self, list: &mut DisplayList) {
        list.add(if self.age % 16 < 8 { Sprite::Crab } else { Sprite::CrabStep }, self.at, THINGS, MIDDLE, false);
    }
}
