//! The pond: all things in it, one step for each frame.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use gba::keys::KeyInput;
use gba::random::{Gen32, Lcg32};

use crate::art::{Sprite, THINGS};
use crate::heap::{Fast, fast};
use crate::level::Level;
use crate::screen::{DisplayList, FRONT, MIDDLE};
use crate::things::{Bubble, Flake, Point, Thing, WIDTH};

/// Things for which there are sprites.
const MOST_THINGS: usize = 60;
/// Frames from one flake to the next, while the key is down.
const FEEDING: u32 = 7;
/// Of the pump: how much pressure makes a bubble.
const PRESSURE: u32 = 400_000;
/// Where the chest is.
const CHEST: Point = Point { x: 150 * 256, y: 79 * 256 };
const NAMES: [&str; 12] = ["ADA", "BO", "CLEO", "DOT", "EMIL", "FAY", "GUS", "HANA", "IVO", "JUNE", "KIM", "LEO"];

/// All of it.
pub struct Pond {
    things: Vec<Box<dyn Thing>>,
    boat: Point,
    pressure: u32,
    around: Around,
}

/// What things see of each other.
pub struct Around {
    pub random: Lcg32,
    /// What is there to eat, in this step.
    food: Vec<Food, Fast>,
    /// What comes into the pond after this step.
    pub born: Vec<Box<dyn Thing>>,
    /// How many flakes each has eaten.
    eaten: BTreeMap<String, u32>,
    /// What happened last.
    news: String,
    names: u32,
    step: u32,
}

/// Something to eat.
pub struct Food {
    pub at: Point,
    pub is_eaten: bool,
    /// Which of the things it is.
    index: usize,
}

impl Pond {
    /// A pond like the level, and its scenery.
    pub fn new() -> (Self, Vec<String>) {
        let mut around = Around {
            random: Lcg32::new(2),
            food: Vec::new_in(fast()),
            born: Vec::new(),
            eaten: BTreeMap::new(),
            news: "WELCOME".to_string(),
            names: 0,
            step: 0,
        };
        let Level { ground, things } = Level::parse(&mut around);
        (Pond { things, boat: Point::from_pixels(40, 4), pressure: 0, around }, ground)
    }

    /// What happens in a frame, with these keys down.
    pub fn step(&mut self, keys: KeyInput) {
        self.around.step += 1;
        self.row(keys);
        let things = self.things.iter().enumerate();
        self.around.food = Vec::new_in(fast());
        self.around.food.extend(things.filter_map(|(index, thing)| Some(Food { at: thing.food()?, is_eaten: false, index })));
        let mut stays: Vec<bool, Fast> = Vec::with_capacity_in(self.things.len(), fast());
        stays.extend(self.things.iter_mut().map(|thing| thing.step(&mut self.around)));
        for food in self.around.food.iter().filter(|food| food.is_eaten) {
            stays[food.index] = false;
        }
        let mut stays = stays.into_iter();
        self.things.retain(|_| stays.next() == Some(true));
        let room = MOST_THINGS.saturating_sub(self.things.len());
        self.things.extend(self.around.born.drain(..).take(room));
    }

    /// The boat.
    fn row(&mut self, keys: KeyInput) {
        let x = self.boat.x + 200 * (i32::from(keys.right()) - i32::from(keys.left()));
        self.boat.x = x.clamp(0, (WIDTH - 32) * 256);
        if keys.a() && self.around.step.is_multiple_of(FEEDING) {
            let x = self.around.random.next_bounded(24).into();
            self.around.born.push(Box::new(Flake::new(self.boat.plus(Point::from_pixels(x, 14)))));
        }
    }

    /// The pump presses air into the chest; if there is enough of it, that opens.
    pub fn pump(&mut self, series: &[u8]) {
        self.pressure += series.iter().map(|pressure| u32::from(*pressure)).sum::<u32>();
        if self.pressure > PRESSURE {
            self.pressure -= PRESSURE;
            for _ in 0..2 {
                let x = self.around.random.next_bounded(12).into();
                let bubble = Bubble::new(CHEST.plus(Point::from_pixels(x, -3)), &mut self.around);
                self.around.born.push(Box::new(bubble));
            }
        }
    }

    /// All of it, as a list for the screen.
    pub fn draw(&self) -> DisplayList {
        let mut list = DisplayList::new();
        list.add(Sprite::Boat, self.boat, THINGS, FRONT, false);
        list.add(Sprite::Chest, CHEST, THINGS, MIDDLE, false);
        self.things.iter().for_each(|thing| thing.draw(&mut list));
        list
    }

    /// What happened last.
    pub fn news(&self) -> &str {
        &self.around.news
    }
}

impl Around {
    /// The nearest food of a kind, within so many pixels.
    pub fn nearest_food(&mut self, at: Point, sight: i32, suits: impl Fn(&Point) -> bool) -> Option<&mut Food> {
        let seen = self.food.iter_mut().filter(|food| !food.is_eaten && suits(&food.at) && food.at.distance(at) < sight);
        seen.min_by_key(|food| food.at.distance(at))
    }

    /// Somebody has eaten a flake; `news` says it, and how many that makes.
    pub fn ate(&mut self, name: &str, news: impl FnOnce(u32) -> String) {
        let count = self.eaten.entry(name.to_string()).or_insert(0);
        *count += 1;
        self.news = news(*count);
    }

    /// A name that nobody has had.
    pub fn new_name(&mut self) -> String {
        let (name, round) = (NAMES[self.names as usize % NAMES.len()], self.names / NAMES.len() as u32);
        self.names += 1;
        if round == 0 { name.to_string() } else { format!("{name} {}", round + 1) }
    }
}
