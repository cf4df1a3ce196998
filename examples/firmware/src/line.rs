//! The line protocol: numbers by name, and a checksum. `sensor=3 seq=17 temperature=215*5c`

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// What is wrong with a line.
pub enum BadLine {
    /// Not what was sent.
    Checksum,
    /// Sent, but not in this protocol.
    Syntax,
}

/// Writes a line into memory that was reserved for it.
pub struct Writer<'a> {
    pub line: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Adds one number.
    pub fn number(&mut self, name: &str, value: i32) -> fmt::Result {
        let space = if self.line.is_empty() { "" } else { " " };
        write!(self, "{space}{name}={value}")
    }

    /// Ends the line.
    pub fn checksum(&mut self) -> fmt::Result {
        let checksum = checksum(self.line);
        write!(self, "*{checksum:02x}")
    }
}

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.line.capacity() - self.line.len() < text.len() {
            return Err(fmt::Error);
        }
        self.line.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// All bytes in one.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.rotate_left(1) ^ byte)
}

/// The numbers of a line by name, in their order.
pub fn parse(line: &[u8]) -> Result<Vec<(String, i32)>, BadLine> {
    let text = str::from_utf8(line).map_err(|_| BadLine::Checksum)?;
    let (numbers, sum) = text.rsplit_once('*').ok_or(BadLine::Checksum)?;
    if u8::from_str_radix(sum, 16) != Ok(checksum(numbers.as_bytes())) {
        return Err(BadLine::Checksum);
    }
    let number = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((String::from(name), value.parse().ok()?))
    };
    numbers.split(' ').map(|pair| number(pair).ok_or(BadLine::Syntax)).collect()
}
