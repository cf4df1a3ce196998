//! The sensors, which are simulated: eight at a time out of 24, each with channels of its own. Every 500 ticks one falls silent, and
//! another one begins.

use alloc::vec::Vec;

use crate::line::Writer;

/// How many sensors there are.
const COUNT: usize = 24;
/// How many send at a time, and for how many ticks.
const AWAKE: u32 = 8;
const SHIFT: u32 = 500;
/// Noise changes every so many lines.
const NOISE: u32 = 61;
const CHANNELS: [&str; 7] = ["temperature", "humidity", "co2", "pressure", "light", "battery", "wind"];

/// All sensors.
pub struct Sensors {
    random: u32,
    sequence: [u16; COUNT],
}

/// A line as it comes in.
pub struct Sent {
    pub line: Vec<u8>,
    /// Changed by noise on the way.
    pub is_spoilt: bool,
    /// Of all its numbers.
    pub sum: u32,
}

impl Sensors {
    pub const fn new() -> Self {
        Sensors { random: 0x2545_f491, sequence: [0; COUNT] }
    }

    /// What comes in now, in a block of just its length; `None` if there is no memory for it.
    pub fn next_line(&mut self, now: u32) -> Option<Sent> {
        let sensor = ((now / SHIFT + self.random() % AWAKE) % COUNT as u32) as usize;
        let channels = 1 + sensor % CHANNELS.len();
        let mut sent = Sent { line: Vec::new(), is_spoilt: now.is_multiple_of(NOISE), sum: 0 };
        sent.line.try_reserve_exact(32 + 20 * channels).ok()?;
        let mut writer = Writer { line: &mut sent.line };
        self.sequence[sensor] = self.sequence[sensor].wrapping_add(1);
        let mut number = |name, value: i32| {
            sent.sum = sent.sum.wrapping_add(value as u32);
            writer.number(name, value).ok()
        };
        number("sensor", sensor as i32)?;
        number("seq", self.sequence[sensor].into())?;
        for (index, name) in CHANNELS.iter().enumerate().take(channels) {
            // Around a value for each channel.
            number(name, 150 * index as i32 + (self.random() % 100) as i32 - 50)?;
        }
        writer.checksum().ok()?;
        if sent.is_spoilt {
            // In front of the checksum, which has three characters.
            let at = self.random() as usize % (sent.line.len() - 3);
            sent.line[at] ^= 1 << (self.random() % 7);
        }
        Some(sent)
    }

    /// Xorshift.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}
