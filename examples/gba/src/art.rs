//! The drawings: a character for each pixel, a number of the palette in hexadecimal, or nothing.

use gba::video::obj::ObjShape;
use gba::video::{Color, Tile4};

/// Something that moves.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Sprite {
    Boat,
    Chest,
    Crab,
    CrabStep,
    Fry,
    Fish,
    FishStroke,
    Angel,
    EelHead,
    Eel,
    EelTail,
    Bubble,
    BigBubble,
    Flake,
    Weed,
    WeedTip,
}

/// How a drawing is cut into the machine's tiles.
#[derive(Clone, Copy)]
pub struct Cut {
    pub first_tile: u16,
    pub shape: ObjShape,
    /// One of the machine's four sizes of that shape.
    pub size: u16,
}

impl Sprite {
    /// Where this sprite is in the machine's memory, if all are there in their order.
    pub const fn cut(self) -> Cut {
        CUTS[self as usize]
    }
}

const CUTS: [Cut; SPRITES.len()] = {
    let mut cuts = [Cut { first_tile: 0, shape: ObjShape::Square, size: 0 }; SPRITES.len()];
    let (mut index, mut first_tile) = (0, 0);
    while index < SPRITES.len() {
        let (width, height) = (SPRITES[index][0].len(), SPRITES[index].len());
        let (shape, size) = match (width, height) {
            (8, 8) => (ObjShape::Square, 0),
            (16, 16) => (ObjShape::Square, 1),
            (16, 8) => (ObjShape::Horizontal, 0),
            (32, 16) => (ObjShape::Horizontal, 2),
            _ => panic!("the machine has no sprites of this size"),
        };
        cuts[index] = Cut { first_tile, shape, size };
        first_tile += (width * height / 64) as u16;
        index += 1;
    }
    cuts
};

/// The tiles of a drawing, row by row.
pub fn tiles(drawing: &'static [&'static str]) -> impl Iterator<Item = Tile4> {
    let columns = drawing[0].len() / 8;
    (0..drawing.len() / 8 * columns).map(move |tile| {
        let (top, left) = (tile / columns * 8, tile % columns * 8);
        core::array::from_fn(|row| pixels(&drawing[top + row].as_bytes()[left..left + 8]))
    })
}

/// Eight pixels, the leftmost in the lowest bits.
fn pixels(characters: &[u8]) -> u32 {
    let number = |character: &u8| char::from(*character).to_digit(16).unwrap_or(0);
    characters.iter().rev().fold(0, |word, character| word << 4 | number(character))
}

const fn color(red: u16, green: u16, blue: u16) -> Color {
    Color::from_rgb(red, green, blue)
}

/// Palettes of sprites: for all that is no fish, for fish of several kinds, for eels.
pub const SPRITE_PALETTES: [[Color; 15]; 7] = [
    [
        color(3, 3, 7),
        color(17, 9, 4),
        color(25, 16, 8),
        color(31, 31, 30),
        color(1, 1, 3),
        color(29, 7, 6),
        color(2, 13, 8),
        color(9, 22, 9),
        color(25, 31, 31),
        color(14, 24, 30),
        color(31, 21, 7),
        color(31, 27, 9),
        color(17, 17, 19),
        color(25, 8, 5),
        color(31, 16, 9),
    ],
    fish(color(22, 9, 3), color(30, 17, 5), color(31, 26, 17), color(31, 11, 4)),
    fish(color(6, 10, 22), color(11, 18, 30), color(24, 29, 31), color(31, 28, 8)),
    fish(color(18, 4, 9), color(28, 10, 16), color(31, 24, 26), color(23, 5, 14)),
    fish(color(20, 17, 3), color(30, 28, 8), color(31, 31, 23), color(10, 20, 12)),
    fish(color(11, 7, 18), color(20, 14, 28), color(29, 25, 31), color(9, 25, 24)),
    fish(color(3, 10, 7), color(8, 18, 9), color(21, 26, 12), color(3, 10, 7)),
];
/// The palette that is for what is no fish; those of fish; that of eels.
pub const THINGS: u16 = 0;
pub const FISH: [u16; 5] = [1, 2, 3, 4, 5];
pub const EELS: u16 = 6;

/// 1: the back, 2: the sides, 3: the belly, 4 and 5: the eye, 6: fins.
const fn fish(back: Color, side: Color, belly: Color, fins: Color) -> [Color; 15] {
    let mut palette = [Color::BLACK; 15];
    (palette[0], palette[1], palette[2], palette[3], palette[5]) = (back, side, belly, Color::WHITE, fins);
    palette
}

/// In the order of [`Sprite`].
pub const SPRITES: [&[&str]; 16] = [
    &[
        "................1...............",
        "...............11...............",
        "..............141...............",
        ".............1441..6............",
        "............14441..666..........",
        "...........144441..6............",
        "..........1444441..1....4.......",
        ".........14444441..1...333......",
        "........111111111..1..66666.....",
        "..................11..66666.....",
        "111111111111111111111111111111..",
        ".1333333333333333333333333331...",
        "..12222222222222222222222221....",
        "...133333333333333333333331.....",
        "....1222222222222222222221......",
        ".....1111111111111111111........",
    ],
    &[
        "................",
        "...1111111111...",
        "..122222222221..",
        ".12333333333321.",
        ".12222222222221.",
        ".1ccccccccccccc.",
        ".11111111111111.",
        ".c.b.cbc.bcb.cb.",
        ".1cb1cbccb1cbc1.",
        ".12222cccc22221.",
        ".12332c11c23321.",
        ".12222c11c22221.",
        ".12332cccc23321.",
        ".12222222222221.",
        ".1cccccccccccc1.",
        ".11111111111111.",
    ],
    &[
        "..f..........f..",
        ".ff..4....4..ff.",
        ".fe..5....5..ef.",
        "..eeeeeeeeeeee..",
        "...effffffffe...",
        "...eeeeeeeeee...",
        "..e.e.e..e.e.e..",
        ".e..e.e..e.e..e.",
    ],
    &[
        ".f............f.",
        ".ff..4....4..ff.",
        "..fe.5....5.ef..",
        "..eeeeeeeeeeee..",
        "...effffffffe...",
        "...eeeeeeeeee...",
        "...e.e.ee.e.e...",
        "..e..e.ee.e..e..",
    ],
    &["........", "...111..", "6.12222.", "66222452", "6.22222.", "...333..", "........", "........"],
    &[
        ".......6666.....",
        "6....1111111....",
        "66..112222221...",
        ".662222222245 2.",
        ".6622222222222..",
        "66..33322233 3..",
        "6.....3333333...",
        ".......66.......",
    ],
    &[
        ".......6666.....",
        ".....1111111....",
        ".66.112222221...",
        "..62222222245 2.",
        "..6222222222222.",
        ".66.33322233 3..",
        "......3333333...",
        "........66......",
    ],
    &[
        "......6.........",
        "......66........",
        ".......666......",
        "......11111.....",
        "....11122212....",
        "6..1162221221...",
        "66.116222122221.",
        ".661622221224521",
        ".66262222322552.",
        "66.262222322222.",
        "6..33622232223..",
        "....3333323333..",
        "......33333.....",
        ".......666......",
        "......66........",
        "......6.........",
    ],
    &["........", "..1111..", ".1222211", "12224522", "12222222", ".3333331", "..3333..", "........"],
    &["........", "..1111..", ".122221.", ".122221.", ".222222.", ".333333.", "..3333..", "........"],
    &["........", "........", "..1111..", "..1221..", "..2222..", "..3333..", "........", "........"],
    &["........", "........", "..aa....", ".a9.a...", ".a..a...", "..aa....", "........", "........"],
    &["..aaa...", ".a...a..", "a.99..a.", "a.9...a.", "a.....a.", ".a...a..", "..aaa...", "........"],
    &["........", "........", "..bb....", ".bccb...", ".bbcb...", "..bb....", "........", "........"],
    &["...78...", "..878...", "...7888.", "...787..", ".8878...", "..788...", "...78...", "...78..."],
    &["....8...", "....8...", "...88...", "...78...", "...788..", ".8.78...", "..878...", "...78..."],
];

/// Scenery: what the characters of a level look like.
pub const GROUND: [(char, &[&str]); 4] = [
    ('~', &["..11....", ".1221...", "12..2111", "2....222", "........", "........", "........", "........"]),
    (',', &["........", "........", "........", "...33...", ".334433.", "33444443", "44454444", "45444454"]),
    ('#', &["44444444", "45444444", "44444544", "44444444", "54444446", "44464444", "46444454", "44444444"]),
    ('o', &["...777..", ".778887.", ".7888887", "78889887", "78898887", "78888887", "77888877", "44777744"]),
];

/// The palette of scenery: 1 and 2 foam, 3 to 6 sand, 7 to 9 rock.
pub const GROUND_PALETTE: [Color; 9] = [
    color(31, 31, 31),
    color(22, 29, 31),
    color(30, 27, 18),
    color(26, 22, 13),
    color(29, 26, 17),
    color(21, 17, 10),
    color(7, 8, 12),
    color(13, 14, 18),
    color(20, 21, 24),
];
