//! What interrupts see: each time in a block of its own, which the main program checks and frees.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use coreheap_bare::coreheap::port::sync::{AtomicU32, Ordering::Relaxed};
use critical_section::Mutex;
use gba::keys::KeyInput;
use gba::mmio::KEYINPUT;

use crate::heap::HEAP;
use crate::println;

/// What came in.
pub enum Event {
    /// The keys that are down, once in a frame.
    Keys(Box<Keys>),
    /// The pressure in the pump, as a series of values.
    Pump(Vec<u8>),
}

/// The keys, and how often they were looked at before.
pub struct Keys {
    number: u32,
    pub keys: KeyInput,
}

/// What the main program has not looked at yet.
static MAILBOX: Mutex<RefCell<Vec<Event>>> = Mutex::new(RefCell::new(Vec::new()));
/// Events of each kind so far; changed by the handler only.
static KEYS: AtomicU32 = AtomicU32::new(0);
static PUMPS: AtomicU32 = AtomicU32::new(0);
/// Those for which there was no memory, and those that came in the middle of an allocation or a free.
static LOST: AtomicU32 = AtomicU32::new(0);
static INSIDE: AtomicU32 = AtomicU32::new(0);

/// For the screen's interrupt.
pub fn read_keys() {
    let number = KEYS.load(Relaxed);
    KEYS.store(number + 1, Relaxed);
    send(Box::try_new(Keys { number, keys: KEYINPUT.read() }).ok().map(Event::Keys));
}

/// For the pump's interrupt.
pub fn read_pump() {
    let number = PUMPS.load(Relaxed);
    PUMPS.store(number + 1, Relaxed);
    let mut series = Vec::new();
    let is_there = series.try_reserve_exact(series_length(number)).is_ok();
    send(is_there.then(|| {
        series.extend((0..series_length(number)).map(|index| pressure(number, index)));
        Event::Pump(series)
    }));
}

fn series_length(number: u32) -> usize {
    4 + (number * 7 % 45) as usize
}

fn pressure(number: u32, index: usize) -> u8 {
    (number * 31) as u8 ^ (index * 7) as u8
}

/// Puts an event into the mailbox, if there was and is memory for it. Where nobody can wait, it is lost otherwise, and no more than that.
fn send(event: Option<Event>) {
    if HEAP.is_inside() {
        INSIDE.store(INSIDE.load(Relaxed) + 1, Relaxed);
    }
    let sent = critical_section::with(|token| {
        let mut mailbox = MAILBOX.borrow_ref_mut(token);
        let event = event.filter(|_| mailbox.try_reserve(1).is_ok())?;
        mailbox.push(event);
        Some(())
    });
    if sent.is_none() {
        LOST.store(LOST.load(Relaxed) + 1, Relaxed);
    }
}

/// The main program's end of the mailbox.
#[derive(Default)]
pub struct Events {
    keys: u32,
    pumps: u32,
}

impl Events {
    /// What came in since the last time. Each event is there once, in its order, as it was sent.
    pub fn take(&mut self) -> Vec<Event> {
        let events = critical_section::with(|token| MAILBOX.take(token));
        for event in &events {
            match event {
                Event::Keys(keys) => {
                    assert_eq!(keys.number, self.keys, "keys");
                    self.keys += 1;
                }
                Event::Pump(series) => {
                    let expected = (0..series_length(self.pumps)).map(|index| pressure(self.pumps, index));
                    assert!(series.iter().copied().eq(expected), "series {} of the pump is not as it was sent", self.pumps);
                    self.pumps += 1;
                }
            }
        }
        events
    }

    /// Says what there was, in so many frames, and checks that nothing was lost.
    pub fn report(&self, frames: u32) {
        let (keys, pumps, inside) = (KEYS.load(Relaxed), PUMPS.load(Relaxed), INSIDE.load(Relaxed));
        println!("{frames} frames, in the time of {keys}");
        println!("{} interrupts that allocated, {inside} of them in the middle of the heap's code", keys + pumps);
        assert_eq!(LOST.load(Relaxed), 0, "events for which there was no memory");
        assert_eq!((self.keys, self.pumps), (keys, pumps), "events sent and received");
        assert!(inside > pumps / 50, "too few to show anything");
    }
}
