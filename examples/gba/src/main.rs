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
    for frame in 0..FRAMES {
        let mut keys = KeyInput::new();
        for event in events.take() {
            match event {
                Event::Keys(now) => keys = now.keys,
                Event::Pump(series) => pond.pump(&series),
            }
        }
        pond.step(keys);
        let mut list = pond.draw();
        list.sort();
        film.add(&list);
        let heaps = picture.draw();
        let (news, best) = pond.news();
        let time = format!("FRAME {frame}");
        VBlankIntrWait();
        list.show();
        heaps.show([&time, news]);
    }
    interrupts::stop();
    heap::report();
    drop((pond, ground, film, picture));
    drop(events.take());
    events.report();
    heap::assert_empty();
    console::exit(0)
}
