//! The heaps, as rows of cells: dark ones are free, bright ones in use, and those in which something changed just now flash.

use alloc::vec::Vec;
use alloc::{format, vec};

use gba::mmio::bg_palbank;
use gba::video::{Color, Tile4};

use crate::heap::{self, Fast, fast};
use crate::screen::{self, COLUMNS, PANEL, PANEL_PALETTE};

/// Of each heap: its name, the row of its title, and how many rows of tiles follow. A tile has two by two cells.
const HEAPS: [(&str, usize, usize); 2] = [("EWRAM", PANEL, 4), ("IWRAM", PANEL + 5, 1)];

/// Colours of a cell: free, in use in quarters, and for some frames after a block came or went.
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
/// How many frames a change is to be seen.
const FLASH: u8 = 5;

/// The picture as it was in the frame before, tile by tile.
pub struct Picture {
    tiles: Vec<[Cell; 4]>,
}

/// Bytes in use, and the colour that shows it, or for how many frames another colour is to show that they have changed.
#[derive(Clone, Copy, Default)]
struct Cell {
    used: u16,
    color: u8,
    flash: u8,
}

/// What has changed in the picture.
pub struct Changes {
    tiles: Vec<(u32, Tile4), Fast>,
    /// Bytes in each heap.
    used: [usize; 2],
}

impl Picture {
    /// Takes its place on the screen.
    pub fn new() -> Self {
        let mut tile = 0;
        for (heap, (_, title, rows)) in HEAPS.into_iter().enumerate() {
            let palette = PANEL_PALETTE + heap;
            (1..).zip(&PALETTES[heap]).for_each(|(index, color)| bg_palbank(palette).index(index).write(*color));
            for (row, column) in (0..rows).flat_map(|row| (0..COLUMNS).map(move |column| (row, column))) {
                screen::place(tile, column, title + 1 + row, palette);
                tile += 1;
            }
        }
        Picture { tiles: vec![[Cell::default(); 4]; tile] }
    }

    /// Looks at the heaps. Code that goes over hundreds of cells in each frame is worth its place in fast memory.
    #[inline(never)]
    #[unsafe(link_section = ".iwram.text")]
    pub fn look(&mut self) -> Changes {
        let mut changes = Changes { tiles: Vec::with_capacity_in(self.tiles.len(), fast()), used: [0; 2] };
        let mut tiles = (0..).zip(&mut self.tiles);
        for (cells, sum) in heap::cells().iter().zip(&mut changes.used) {
            let quarter = (cells.size / 4).ilog2();
            // A tile is two cells of a row of them, and the two below.
            for upper in (0..cells.count).step_by(4 * COLUMNS).flat_map(|row| (row..row + 2 * COLUMNS).step_by(2)) {
                let Some((index, tile)) = tiles.next() else { break };
                let mut has_changed = false;
                let lower = upper + 2 * COLUMNS;
                for (cell, place) in tile.iter_mut().zip([upper, upper + 1, lower, lower + 1]) {
                    let used = cells.used(place);
                    *sum += used;
                    has_changed |= cell.look(used as u16, quarter);
                }
                if has_changed {
                    changes.tiles.push((index, draw(tile)));
                }
            }
        }
        changes
    }
}

impl Cell {
    /// Notes how much is in use; whether that changes the colour.
    #[inline(always)]
    fn look(&mut self, used: u16, quarter: u32) -> bool {
        let before = self.color;
        if used != self.used {
            (self.color, self.flash) = (if used > self.used { CAME } else { WENT }, FLASH);
            self.used = used;
        } else if self.flash > 1 {
            self.flash -= 1;
        } else if self.flash == 1 || before == 0 {
            (self.color, self.flash) = (if used == 0 { FREE } else { USED + (used >> quarter).min(3) as u8 }, 0);
        }
        self.color != before
    }
}

/// Two by two cells, each of three by three pixels.
#[inline(always)]
fn draw(tile: &[Cell; 4]) -> Tile4 {
    let row = |left: Cell, right: Cell| (u32::from(left.color) * 0x111) | (u32::from(right.color) * 0x111_0000);
    let (upper, lower) = (row(tile[0], tile[1]), row(tile[2], tile[3]));
    [upper, upper, upper, 0, lower, lower, lower, 0]
}

impl Changes {
    /// Shows them, and a remark beside each heap.
    pub fn show(&self, remarks: [&str; 2]) {
        self.tiles.iter().for_each(|(index, tile)| screen::show_tile(*index as usize, tile));
        for (heap, cells) in heap::cells().iter().enumerate() {
            let (name, title, _) = HEAPS[heap];
            let (tenths, size) = (self.used[heap] * 10 / 1024, cells.size * cells.count / 1024);
            screen::print(title, &format!("{name} {:>3}.{}/{size}K {:>13}", tenths / 10, tenths % 10, remarks[heap]));
        }
    }
}
