//! The level, which is a text.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::pond::Around;
use crate::things::{Crab, Eel, Fish, Point, Thing, Weed};

/// A character for each tile of 8 by 8 pixels. Fish (`f`), eels, crabs, weeds (`w` and taller ones, `W`) start where their letters are.
const TEXT: &str = "\
..............................
..............................
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
..............................
.......f..............f.......
............e.....f......f....
...f.....................f....
......f.......f......f........
.....f.............e..........
..............................
..w.W..........c..........w.W.
,W,,w,,,oo,,,,,,W,w,,,,o,,w,W,
##############################";

/// What a level says.
pub struct Level {
    /// The scenery, row by row.
    pub ground: Vec<String>,
    pub things: Vec<Box<dyn Thing>>,
}

impl Level {
    /// Takes the text apart.
    pub fn parse(around: &mut Around) -> Self {
        let mut level = Level { ground: Vec::new(), things: Vec::new() };
        for (row, line) in TEXT.lines().enumerate() {
            let mut ground = String::with_capacity(line.len());
            for (column, character) in line.chars().enumerate() {
                let at = Point::from_pixels(8 * column as i32, 8 * row as i32);
                let thing: Option<Box<dyn Thing>> = match character {
                    'f' => Some(Box::new(Fish::new(at, around))),
                    'e' => Some(Box::new(Eel::new(at))),
                    'c' => Some(Box::new(Crab::new(at))),
                    'w' => Some(Box::new(Weed::new(at, 3))),
                    'W' => Some(Box::new(Weed::new(at, 6))),
                    _ => None,
                };
                // Weeds grow out of the sand.
                let is_rooted = thing.is_some() && line.contains(',');
                ground.push(if is_rooted { ',' } else { character });
                level.things.extend(thing);
            }
            level.ground.push(ground);
        }
        level
    }
}
