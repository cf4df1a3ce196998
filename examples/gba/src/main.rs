//! Run it with `cargo run --release` in this folder; it needs nightly Rust with `rust-src`, a C compiler, and libmgba (Debian: `libmgba-dev`).
//!
//! A pond on the Game Boy Advance: 288 KiB of two kinds, no compare-and-swap, and the heap itself on the screen while fish and bubbles come
//! and go. What interrupts see comes in blocks that they allocate, whatever they interrupt. The emulator leaves a picture of the last frame,
//! `pond.png`, beside the program; for the machine itself, `objcopy -O binary` makes a cartridge of that.
//!
//! | file | what it is |
//! |---|---|
//! | `heap.rs` | the heap: both kinds of memory |
//! | `watched.rs` | around the heap, notes whether it is in the middle of a call |
//! | `picture.rs` | the heap on the screen |
//! | `interrupts.rs`, `events.rs` | interrupts, and what they allocate |
//! | `pond.rs`, `level.rs`, `things/` | the pond, the text it begins as, what lives in it |
//! | `film.rs` | the last six seconds, a block for each frame |
//! | `screen.rs`, `art.rs`, `console.rs` | what the machine and its emulator need |
//! | `link.ld` | what lies in which memory |
//! | `runner/` | the emulator |

#![no_std]
#![no_main]
#![feature(allocator_api)]

extern crate alloc;

mod art;
mod console;
mod events;
mod film;
mod heap;
mod interrupts;
mod level;
mod picture;
mod pond;
mod screen;
mod things;
mod watched;

use alloc::format;

use gba::bios::VBlankIntrWait;
use gba::keys::KeyInput;

use events::{Event, Events};
use film::Film;
use picture::Picture;
use pond::Pond;

/// Ten seconds.
const FRAMES: u32 = 600;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (mut pond, ground) = Pond::new();
    screen::set_up(&ground);
    let (mut film, mut picture, mut events) = (Film::new(), Picture::new(), Events::default());
    interrupts::start();
    for frame in 1..=FRAMES {
        let mut keys = KeyInput::new();
        for event in events.take() {
            match event {
                Event::Keys(now) => keys = now.keys,
                Event::Pump(series) => pond.pump(&series),
            }
        }
        pond.step(keys);
        let list = pond.draw();
        film.add(&list);
        let changes = picture.look();
        let time = format!("FRAME {frame}");
        VBlankIntrWait();
        list.show();
        changes.show([&time, pond.news()]);
    }
    interrupts::stop();
    drop(events.take());
    events.report(FRAMES);
    heap::report();
    drop((pond, ground, film, picture));
    heap::assert_empty();
    console::exit(0)
}
