//! The heaps, as rows of cells: dark ones are free, bright ones in use, and those in which something changed just now flash.

use alloc::format;
use alloc::vec::Vec;

use gba::mmio::bg_palbank;
use gba::video::{Color, Tile4};

use crate::heap::{self, Fast};
use crate::screen::{self, COLUMNS, PANEL, PANEL_PALETTE};
use crate::watched::Cells;

/// Of each heap: its name, the row of its title, and how many rows of tiles follow. A tile has two by two cells.
const HEAPS: [(&str, usize, usize); 2] = [("EWRAM", PANEL, 4), ("IWRAM", PANEL + 5, 1)];

/// Colours of a cell: free, in use in quarters, and for some frames after a block came or went.
const FREE: u32 = 1;
const USED: u32 = 2;
const CAME: u32 = 6;
const WENT: u32 = 7;
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

/// The picture as it was in the frame before.
pub struct Picture {
    seen: Vec<Cell>,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    used: u16,
    flash: u8,
    has_gone: bool,
}

/// The picture for one frame.
pub struct Frame {
    tiles: Vec<Tile4, Fast>,
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
                screen::place(tile, title + 1 + row, column, palette);
                tile += 1;
            }
        }
        Picture { seen: alloc::vec![Cell::default(); 4 * tile] }
    }

    /// Looks at the heaps.
    pub fn draw(&mut self) -> Frame {
        let mut frame = Frame { tiles: Vec::with_capacity_in(self.seen.len() / 4, Fast), used: [0; 2] };
        let mut seen = self.seen.as_mut_slice();
        for (heap, cells) in heap::cells().iter().enumerate() {
            let (of_heap, others) = seen.split_at_mut(cells.used().len());
            seen = others;
            frame.used[heap] = cells.used().sum();
            look(of_heap, cells);
            // A row of tiles is two rows of cells.
            for rows in of_heap.chunks_exact(4 * COLUMNS) {
                let (upper, lower) = rows.split_at(2 * COLUMNS);
                let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                frame.tiles.extend(pairs.map(|(upper, lower)| tile(upper, lower, cells.size)));
            }
        }
        frame
    }
}

/// Notes what changed.
fn look(seen: &mut [Cell], cells: &Cells) {
    for (cell, used) in seen.iter_mut().zip(cells.used()) {
        let used = used as u16;
        if used == cell.used {
            cell.flash = cell.flash.saturating_sub(1);
        } else {
            *cell = Cell { used, flash: FLASH, has_gone: used < cell.used };
        }
    }
}

/// Two by two cells, each of three by three pixels.
fn tile(upper: &[Cell; 2], lower: &[Cell; 2], size: usize) -> Tile4 {
    let row = |cells: &[Cell; 2]| cells[0].color(size) * 0x111 | cells[1].color(size) * 0x111_0000;
    let (upper, lower) = (row(upper), row(lower));
    [upper, upper, upper, 0, lower, lower, lower, 0]
}

impl Cell {
    fn color(&self, size: usize) -> u32 {
        match self.used {
            _ if self.flash > 0 => {
                if self.has_gone {
                    WENT
                } else {
                    CAME
                }
            }
            0 => FREE,
            used => USED + (u32::from(used) * 4 / size as u32).min(3),
        }
    }
}

impl Frame {
    /// Shows it.
    pub fn show(&self, remarks: [&str; 2]) {
        screen::show_tiles(&self.tiles);
        let sizes = heap::cells().map(|cells| cells.size * cells.used().len() / 1024);
        for (heap, (name, title, _)) in HEAPS.into_iter().enumerate() {
            let (tenths, size) = (self.used[heap] * 10 / 1024, sizes[heap]);
            let used = format!("{}.{}", tenths / 10, tenths % 10);
            screen::print(title, &format!("{name} {used:>5}/{size}K {:>14}", remarks[heap]), 0);
        }
    }
}
