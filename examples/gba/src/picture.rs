//! The heap, as rows of cells: dark ones are free, bright ones in use, and those in which more or less is in use than before flash.

use alloc::vec::Vec;
use alloc::{format, vec};
use core::cmp::Ordering;

use gba::mmio::bg_palbank;
use gba::video::{Color, Tile4};

use crate::heap::{self, Fast, fast};
use crate::screen::{self, COLUMNS, PANEL, PANEL_PALETTE};

/// Of each memory: its name, the row of its title, and how many rows of tiles follow. A tile has two by two cells.
const MEMORIES: [(&str, usize, usize); 2] = [("EWRAM", PANEL, 4), ("IWRAM", PANEL + 5, 1)];

/// Which tile is the first of the second memory.
const FIRST_OF_IWRAM: usize = MEMORIES[0].2 * COLUMNS;

/// Colours of a cell: free, in use in quarters, and until its next turn after something came or went.
const FREE: u8 = 1;
const USED: u8 = 2;
const CAME: u8 = 6;
const WENT: u8 = 7;
const PALETTES: [[Color; 7]; 2] = [
    [
        Color::from_rgb(5, 6, 10),
        Color::from_rgb(3, 13, 12),
        Color::from_rgb(4, 18, 16),
        Color::from_rgb(6, 23, 20),
        Color::from_rgb(9, 28, 23),
        Color::from_rgb(31, 31, 26),
        Color::from_rgb(18, 8, 16),
    ],
    [
        Color::from_rgb(5, 6, 10),
        Color::from_rgb(17, 9, 2),
        Color::from_rgb(22, 13, 3),
        Color::from_rgb(27, 17, 4),
        Color::from_rgb(31, 22, 8),
        Color::from_rgb(31, 31, 26),
        Color::from_rgb(18, 8, 16),
    ],
];
/// In how many frames all cells have their turn: 600 looks of 700 cycles would take one and a half frames. A divisor of the columns would
/// be seen as stripes.
const TURNS: usize = 11;

/// The picture as it was when each cell had its last turn.
pub struct Picture {
    tiles: Vec<[Cell; 4]>,
    turn: usize,
    /// Bytes in use in each memory.
    used: [usize; 2],
}

/// How many bytes are in use, and the colour that shows it.
#[derive(Clone, Copy, Default)]
struct Cell {
    used: usize,
    color: u8,
}

/// The tiles whose turn it is, and how much is in use in each memory.
pub struct Changes {
    tiles: Vec<(usize, Tile4), Fast>,
    used: [usize; 2],
}

impl Picture {
    /// Takes its place on the screen.
    pub fn new() -> Self {
        let mut tile = 0;
        for (heap, (_, title, rows)) in MEMORIES.into_iter().enumerate() {
            let palette = PANEL_PALETTE + heap;
            (1..).zip(&PALETTES[heap]).for_each(|(index, color)| bg_palbank(palette).index(index).write(*color));
            for (row, column) in (0..rows).flat_map(|row| (0..COLUMNS).map(move |column| (row, column))) {
                screen::place(tile, column, title + 1 + row, palette);
                tile += 1;
            }
        }
        Picture { tiles: vec![[Cell::default(); 4]; tile], turn: 0, used: [0; 2] }
    }

    /// Looks at the cells whose turn it is. Most of this is counting bits: worth its place in fast memory.
    #[inline(never)]
    #[unsafe(link_section = ".iwram.text")]
    pub fn look(&mut self) -> Changes {
        let parts = heap::parts();
        let mut changes = Vec::with_capacity_in(self.tiles.len().div_ceil(TURNS), fast());
        for (index, tile) in self.tiles.iter_mut().enumerate().skip(self.turn).step_by(TURNS) {
            let (heap, index_there) = if index < FIRST_OF_IWRAM { (0, index) } else { (1, index - FIRST_OF_IWRAM) };
            // Two cells of a row of them, and the two below.
            let (row, column) = (index_there / COLUMNS, index_there % COLUMNS);
            let upper = (2 * row * COLUMNS + column) * 2;
            for (cell, place) in tile.iter_mut().zip([upper, upper + 1, upper + 2 * COLUMNS, upper + 2 * COLUMNS + 1]) {
                self.used[heap] -= cell.used;
                cell.look(parts[heap].used(place), parts[heap].cell);
                self.used[heap] += cell.used;
            }
            changes.push((index, draw(tile)));
        }
        self.turn = (self.turn + 1) % TURNS;
        Changes { tiles: changes, used: self.used }
    }
}

impl Cell {
    /// Notes that `used` of `size` bytes are in use.
    fn look(&mut self, used: usize, size: usize) {
        self.color = match used.cmp(&self.used) {
            Ordering::Greater => CAME,
            Ordering::Less => WENT,
            Ordering::Equal if used == 0 => FREE,
            Ordering::Equal => USED + (4 * used / size).min(3) as u8,
        };
        self.used = used;
    }
}

/// Two by two cells, each of three by three pixels.
fn draw(tile: &[Cell; 4]) -> Tile4 {
    let row = |left: Cell, right: Cell| (u32::from(left.color) * 0x111) | (u32::from(right.color) * 0x111_0000);
    let (upper, lower) = (row(tile[0], tile[1]), row(tile[2], tile[3]));
    [upper, upper, upper, 0, lower, lower, lower, 0]
}

impl Changes {
    /// Shows them, and a remark beside each memory.
    pub fn show(&self, remarks: [&str; 2]) {
        self.tiles.iter().for_each(|(index, tile)| screen::show_tile(*index, tile));
        for (heap, part) in heap::parts().iter().enumerate() {
            let (name, row, _) = MEMORIES[heap];
            let (tenths, size) = (self.used[heap] * 10 / 1024, part.bytes / 1024);
            let title = format!("{name} {}.{}/{size}K", tenths / 10, tenths % 10);
            screen::print(row, &title, remarks[heap]);
        }
    }
}
