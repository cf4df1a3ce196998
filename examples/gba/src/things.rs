//! What lives and moves in the pond.

mod bubble;
mod crab;
mod eel;
mod fish;
mod flake;
mod weed;

pub use bubble::Bubble;
pub use crab::Crab;
pub use eel::Eel;
pub use fish::Fish;
pub use flake::Flake;
pub use weed::Weed;

use crate::pond::Around;
use crate::screen::DisplayList;

/// The water, in pixels: what swims stays within.
pub const SURFACE: i32 = 20;
pub const BOTTOM: i32 = 88;
pub const WIDTH: i32 = 240;

/// One of many, each in a block of its own.
pub trait Thing {
    /// Lives for a frame; false if that was its last.
    fn step(&mut self, around: &mut Around) -> bool;

    /// Puts itself onto the screen.
    fn draw(&self, list: &mut DisplayList);

    /// Where it could be eaten.
    fn food(&self) -> Option<Point> {
        None
    }
}

/// A place, or a speed, in 1/256 of a pixel.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    pub x: i32,
    pub y: i32,
}

impl Point {
    pub fn from_pixels(x: i32, y: i32) -> Self {
        Point { x: x * 256, y: y * 256 }
    }

    pub fn plus(self, other: Point) -> Self {
        Point { x: self.x + other.x, y: self.y + other.y }
    }

    pub fn minus(self, other: Point) -> Self {
        Point { x: self.x - other.x, y: self.y - other.y }
    }

    /// How far away, without a root: the sum of both directions, in pixels.
    pub fn distance(self, other: Point) -> i32 {
        ((self.x - other.x).abs() + (self.y - other.y).abs()) / 256
    }

    /// No more than this in either direction.
    pub fn clamp(self, most: Point) -> Self {
        Point { x: self.x.clamp(-most.x, most.x), y: self.y.clamp(-most.y, most.y) }
    }
}

/// Up and down once in 256, between -256 and 256: two parabolas.
pub fn wave(phase: u32) -> i32 {
    let half = (phase % 128) as i32;
    let arc = half * (128 - half) / 16;
    if phase % 256 < 128 { arc } else { -arc }
}
