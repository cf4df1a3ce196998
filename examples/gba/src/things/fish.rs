use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use gba::random::Gen32;

use super::{BOTTOM, Bubble, Point, SURFACE, Thing, WIDTH};
use crate::art::{FISH, Sprite};
use crate::pond::Around;
use crate::screen::{DisplayList, MIDDLE};

/// How many flakes make a fish of a fry, and then a big one, which lays eggs and leaves after some more.
const GROWN: u32 = 2;
const BIG: u32 = 5;
const LEAVES: u32 = 9;
/// For how many frames a flake is enough.
const FULL: u32 = 150;
/// How far a fish sees food, and how near that must be to be eaten, in pixels.
const SIGHT: i32 = 70;
const REACH: i32 = 8;

/// Swims where it likes, or to the nearest food.
pub struct Fish {
    name: String,
    palette: u16,
    at: Point,
    speed: Point,
    wish: Point,
    eaten: u32,
    age: u32,
    /// How old it will be when it is hungry again.
    hungry: u32,
}

impl Fish {
    pub fn new(at: Point, around: &mut Around) -> Self {
        let palette = around.random.pick(&FISH);
        let eaten = around.random.next_bounded(GROWN as u16 + 2).into();
        let hungry = around.random.next_bounded(FULL as u16).into();
        Fish { name: around.new_name(), palette, at, speed: Point::default(), wish: at, eaten, age: 0, hungry }
    }

    fn fry(at: Point, around: &mut Around) -> Self {
        Fish { eaten: 0, ..Fish::new(at, around) }
    }

    fn is_leaving(&self) -> bool {
        self.eaten >= LEAVES
    }

    /// Where the mouth is, from the upper left corner.
    fn mouth(&self) -> Point {
        let (width, height) = match self.eaten {
            BIG.. => (16, 8),
            GROWN.. => (14, 4),
            _ => (7, 3),
        };
        self.at.plus(Point::from_pixels(if self.speed.x < 0 { 0 } else { width }, height))
    }

    fn eat(&mut self, around: &mut Around) {
        self.eaten += 1;
        self.hungry = self.age + FULL;
        let name = &self.name;
        around.ate(name, |count| format!("{name} ATE {count}"));
        if self.is_leaving() {
            for _ in 0..2 {
                let fry = Fish::fry(self.at, around);
                around.born.push(Box::new(fry));
            }
        }
        let bubble = Bubble::new(self.mouth(), around);
        around.born.push(Box::new(bubble));
    }

    fn choose(&mut self, around: &mut Around) {
        let mouth = self.mouth();
        if self.is_leaving() {
            let edge = if self.speed.x < 0 { -60 } else { WIDTH + 60 };
            self.wish = Point { x: edge * 256, y: self.at.y };
        } else if self.age >= self.hungry
            && let Some(food) = around.nearest_food(mouth, SIGHT, |_| true)
        {
            // The mouth is to be there, not the corner.
            self.wish = food.at.minus(mouth.minus(self.at));
            if food.at.distance(mouth) < REACH {
                food.is_eaten = true;
                self.eat(around);
            }
        } else if self.at.distance(self.wish) < 6 || self.age.is_multiple_of(200) {
            let x = around.random.next_bounded(WIDTH as u16 - 16).into();
            let y = SURFACE + 6 + i32::from(around.random.next_bounded((BOTTOM - SURFACE - 24) as u16));
            self.wish = Point::from_pixels(x, y);
        }
    }
}

impl Thing for Fish {
    fn step(&mut self, around: &mut Around) -> bool {
        self.age += 1;
        self.choose(around);
        let pull = self.wish.minus(self.at).clamp(Point { x: 14, y: 10 });
        self.speed = self.speed.plus(pull).clamp(Point { x: 300, y: 160 });
        self.at = self.at.plus(self.speed);
        self.at.y = self.at.y.clamp((SURFACE + 2) * 256, (BOTTOM - 8) * 256);
        !self.is_leaving() || (-20 * 256..WIDTH * 256).contains(&self.at.x)
    }

    fn draw(&self, list: &mut DisplayList) {
        let sprite = match self.eaten {
            BIG.. => Sprite::Angel,
            GROWN.. if self.age % 16 < 8 => Sprite::Fish,
            GROWN.. => Sprite::FishStroke,
            _ => Sprite::Fry,
        };
        list.add(sprite, self.at, self.palette, MIDDLE, self.speed.x < 0);
    }
}
