//! The screen: 240 by 160 pixels, of tiles in three layers and sprites in front of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter::repeat_n;

use gba::builtin_art::Cga8x8Thick;
use gba::mmio::{
    BG_PALETTE, BG0CNT, BG1CNT, BG2CNT, CHARBLOCK0_4BPP, CHARBLOCK1_4BPP, DISPCNT, OBJ_ATTR_ALL, OBJ_ATTR0, OBJ_TILES,
    TEXT_SCREENBLOCKS, bg_palbank, obj_palbank,
};
use gba::video::obj::{ObjAttr, ObjAttr0, ObjAttr1, ObjAttr2, ObjAttrWriteExt, ObjDisplayStyle};
use gba::video::{BackgroundControl, Color, DisplayControl, TextEntry, Tile4};

use crate::art::{GROUND, GROUND_PALETTE, SPRITE_PALETTES, SPRITES, Sprite, tiles};
use crate::heap::{Fast, fast};
use crate::things::Point;

/// Which sprites hide which.
pub const FRONT: usize = 0;
pub const MIDDLE: usize = 1;
pub const BACK: usize = 2;

/// The machine's sprites.
const MOST_SPRITES: usize = 128;

/// Tiles in a row.
pub const COLUMNS: usize = 30;
/// The row in which the panel begins, below the pond.
pub const PANEL: usize = 13;

/// Which map each layer has, out of 32.
const TEXT_MAP: usize = 28;
const GROUND_MAP: usize = 29;
const WATER_MAP: usize = 30;
/// Where the scenery's tiles are, behind those of water.
const GROUND_TILES: usize = 32;
/// The palettes of layers.
const TEXT_PALETTE: usize = 0;
const WATER_PALETTE: usize = 3;
const SKY_PALETTE: usize = 4;
const SAND_PALETTE: usize = 5;
/// The first palette and tile that belong to whoever draws the panel. Letters come before.
pub const PANEL_PALETTE: usize = 1;
const PANEL_TILES: usize = 256;

/// Shows the scenery, and an empty panel.
pub fn set_up(ground: &[String]) {
    for (palette, colors) in SPRITE_PALETTES.iter().enumerate() {
        (1..).zip(colors).for_each(|(index, color)| obj_palbank(palette).index(index).write(*color));
    }
    let all = SPRITES.iter().flat_map(|drawing| tiles(drawing));
    OBJ_TILES.iter().zip(all).for_each(|(place, tile)| place.write(tile));
    OBJ_ATTR0.iter().for_each(|sprite| sprite.write(HIDDEN));

    Cga8x8Thick.bitunpack_4bpp(CHARBLOCK0_4BPP.as_region(), 0);
    bg_palbank(TEXT_PALETTE).index(1).write(Color::from_rgb(26, 28, 31));
    BG_PALETTE.index(0).write(Color::from_rgb(2, 2, 5));
    (1..).zip(&GROUND_PALETTE).for_each(|(index, color)| bg_palbank(SAND_PALETTE).index(index).write(*color));
    let all = GROUND.iter().flat_map(|(_, drawing)| tiles(drawing));
    (GROUND_TILES..).zip(all).for_each(|(index, tile)| CHARBLOCK1_4BPP.index(index).write(tile));

    for (row, line) in ground.iter().enumerate() {
        for (column, character) in line.chars().enumerate() {
            // The empty tile behind the drawings.
            let drawing = GROUND.iter().position(|(name, _)| *name == character).unwrap_or(GROUND.len());
            put(GROUND_MAP, column, row, GROUND_TILES + drawing, SAND_PALETTE);
        }
    }
    fill_water();
    let layer = |tiles, map, priority| {
        BackgroundControl::new().with_charblock(tiles).with_screenblock(map as u16).with_priority(priority)
    };
    BG0CNT.write(layer(0, TEXT_MAP, 0));
    BG1CNT.write(layer(1, GROUND_MAP, 2));
    BG2CNT.write(layer(1, WATER_MAP, 3));
    let layers = DisplayControl::new().with_show_bg0(true).with_show_bg1(true).with_show_bg2(true);
    DISPCNT.write(layers.with_show_obj(true).with_obj_vram_1d(true));
}

/// Light above, dark below: 15 colours, and between two of them a pattern of both.
fn fill_water() {
    const SKY_ROWS: usize = 2;
    let blend = |from: [u16; 3], to: [u16; 3], index: u16| {
        let part = |channel: usize| (from[channel] * (14 - index) + to[channel] * index) / 14;
        Color::from_rgb(part(0), part(1), part(2))
    };
    for index in 0..15 {
        bg_palbank(SKY_PALETTE).index(usize::from(index) + 1).write(blend([31, 22, 17], [31, 29, 24], index));
        bg_palbank(WATER_PALETTE).index(usize::from(index) + 1).write(blend([12, 25, 29], [2, 5, 14], index));
    }
    for row in 0..PANEL {
        let (palette, first, rows) =
            if row < SKY_ROWS { (SKY_PALETTE, 0, SKY_ROWS) } else { (WATER_PALETTE, SKY_ROWS, PANEL - SKY_ROWS) };
        let tile: Tile4 = core::array::from_fn(|line| {
            (0..8).fold(0, |word, pixel| {
                // In sixteenths of a colour.
                let depth = ((row - first) * 8 + line) * 14 * 16 / (rows * 8);
                let color = (depth + usize::from(PATTERN[line % 4][pixel % 4])) / 16 + 1;
                word | (color as u32) << (4 * pixel)
            })
        });
        // Tile 0 stays empty, for the panel.
        CHARBLOCK1_4BPP.index(row + 1).write(tile);
        (0..COLUMNS).for_each(|column| put(WATER_MAP, column, row, row + 1, palette));
    }
}

/// Which of 16 pixels change first from one colour to the next.
const PATTERN: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];

/// Writes a line: one text at its left end, one at its right end.
pub fn print(row: usize, left: &str, right: &str) {
    let blanks = (COLUMNS - 2).saturating_sub(left.len() + right.len());
    let letters = left.bytes().chain(repeat_n(b' ', blanks)).chain(right.bytes());
    (1..COLUMNS - 1).zip(letters).for_each(|(column, letter)| put(TEXT_MAP, column, row, letter.into(), TEXT_PALETTE));
}

/// Puts tile `tile` of the panel at a place, in one of the palettes.
pub fn place(tile: usize, column: usize, row: usize, palette: usize) {
    put(TEXT_MAP, column, row, PANEL_TILES + tile, palette);
}

/// Says which tile of its layer a map has at a place, in which palette.
fn put(map: usize, column: usize, row: usize, tile: usize, palette: usize) {
    let map = TEXT_SCREENBLOCKS.get_frame(map).expect("there are 32");
    map.index(column, row).write(TextEntry::new().with_tile(tile as u16).with_palbank(palette as u16));
}

/// Changes what tile `tile` of the panel looks like.
pub fn show_tile(tile: usize, pixels: &Tile4) {
    CHARBLOCK0_4BPP.index(PANEL_TILES + tile).write(*pixels);
}

const HIDDEN: ObjAttr0 = ObjAttr0::new().with_style(ObjDisplayStyle::NotDisplayed);

/// The sprites of a frame, made anew for each. The machine draws the first in front of the others, so there is a list for each depth.
pub struct DisplayList {
    depths: [Vec<ObjAttr, Fast>; 3],
}

impl DisplayList {
    /// An empty list.
    pub fn new() -> Self {
        DisplayList { depths: core::array::from_fn(|_| Vec::with_capacity_in(MOST_SPRITES / 3, fast())) }
    }

    /// Adds a sprite, by its upper left corner, if it is in sight.
    pub fn add(&mut self, sprite: Sprite, at: Point, palette: u16, depth: usize, is_leftward: bool) {
        let (x, y) = (at.x >> 8, at.y >> 8);
        if !(-31..240).contains(&x) || !(-15..8 * PANEL as i32).contains(&y) {
            return;
        }
        let cut = sprite.cut();
        self.depths[depth].push(ObjAttr(
            ObjAttr0::new().with_y(y as u16 & 0xff).with_shape(cut.shape),
            ObjAttr1::new().with_x(x as u16 & 0x1ff).with_hflip(is_leftward).with_size(cut.size),
            ObjAttr2::new().with_tile_id(cut.first_tile).with_palbank(palette).with_priority(1),
        ));
    }

    /// As many as the machine has.
    pub fn sprites(&self) -> impl Iterator<Item = &ObjAttr> {
        self.depths.iter().flatten().take(MOST_SPRITES)
    }

    /// Shows it, and nothing else. For the time when the screen is not being drawn.
    pub fn show(&self) {
        OBJ_ATTR_ALL.iter().zip(self.sprites()).for_each(|(place, sprite)| place.write(*sprite));
        OBJ_ATTR0.iter().skip(self.sprites().count()).for_each(|place| place.write(HIDDEN));
    }
}
