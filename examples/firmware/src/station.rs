//! What is known about each sensor.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::Frame;
use crate::line::{self, BadLine};

/// A sensor that was silent for so many ticks is forgotten.
const FORGOTTEN_AFTER: u32 = 1_000;
/// How many values a median is taken of.
const RECENT: usize = 15;

/// All sensors that send.
pub struct Station {
    sensors: BTreeMap<i32, Sensor>,
    next_median: i32,
    /// All lines, and those among them that were not as they were sent.
    pub received: u32,
    pub refused: u32,
    /// Of all numbers that were received.
    pub sum: u32,
    forgotten: u32,
}

/// What is known about one.
struct Sensor {
    heard_at: u32,
    sequence: i32,
    missed: i32,
    channels: BTreeMap<String, Channel>,
}

/// One kind of value.
struct Channel {
    least: i32,
    most: i32,
    median: i32,
    recent: VecDeque<i32>,
}

impl Station {
    pub fn new() -> Self {
        Station { sensors: BTreeMap::new(), next_median: 0, received: 0, refused: 0, sum: 0, forgotten: 0 }
    }

    /// Takes a line in.
    pub fn receive(&mut self, frame: Frame) {
        self.received += 1;
        let numbers = match line::parse(&frame.line) {
            Ok(numbers) => numbers,
            Err(BadLine::Checksum) => {
                self.refused += 1;
                return;
            }
            Err(BadLine::Syntax) => panic!("a line that no sensor sends: {:?}", str::from_utf8(&frame.line)),
        };
        self.sum = numbers.iter().fold(self.sum, |sum, (_, value)| sum.wrapping_add(*value as u32));
        let mut numbers = numbers.into_iter();
        let (Some((_, number)), Some((_, sequence))) = (numbers.next(), numbers.next()) else { return };
        let new = || Sensor { heard_at: 0, sequence: sequence - 1, missed: 0, channels: BTreeMap::new() };
        let sensor = self.sensors.entry(number).or_insert_with(new);
        assert!(sequence > sensor.sequence, "line {sequence} of sensor {number} came after {}", sensor.sequence);
        sensor.missed += sequence - sensor.sequence - 1;
        sensor.sequence = sequence;
        sensor.heard_at = frame.at;
        for (name, value) in numbers {
            sensor.channels.entry(name).or_insert_with(|| Channel::new(value)).add(value);
        }
        self.forget(frame.at);
    }

    /// Drops sensors that sent nothing for a while.
    fn forget(&mut self, now: u32) {
        let before = self.sensors.len();
        self.sensors.retain(|_, sensor| now - sensor.heard_at < FORGOTTEN_AFTER);
        self.forgotten += (before - self.sensors.len()) as u32;
    }

    /// Computes the medians of one sensor; of the next one, when it is called again.
    pub fn update_medians(&mut self) {
        let found = self.sensors.range_mut(self.next_median..).next();
        self.next_median = found.as_ref().map_or(0, |(number, _)| *number + 1);
        if let Some((_, sensor)) = found {
            sensor.channels.values_mut().for_each(Channel::update_median);
        }
    }

    /// A line for each sensor.
    pub fn log(&self) {
        for (number, sensor) in &self.sensors {
            let Some((name, channel)) = sensor.channels.last_key_value() else { continue };
            let Channel { least, most, median, .. } = *channel;
            defmt::info!(
                "sensor {=i32}: {=i32} lines, {=i32} missed; {=str} {=i32} to {=i32}, median {=i32}",
                number,
                sensor.sequence,
                sensor.missed,
                name,
                least,
                most,
                median
            );
        }
        defmt::info!("{=u32} sensors fell silent and were forgotten", self.forgotten);
    }
}

impl Channel {
    fn new(first: i32) -> Self {
        Channel { least: first, most: first, median: first, recent: VecDeque::new() }
    }

    fn add(&mut self, value: i32) {
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
    }

    fn update_median(&mut self) {
        let mut sorted: Vec<i32> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted.get(sorted.len() / 2).copied().unwrap_or(self.median);
    }
}
