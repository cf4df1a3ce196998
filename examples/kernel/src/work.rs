//! What the kernel has to do: jobs of a few tasks each, whose data goes from core to core. The last task of each checks all of it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::heap::HEAP;
use crate::{arch, tasks};

/// How many jobs there are.
pub const JOBS: usize = 18_000;
/// Load comes and goes: so many jobs are under way at a time, for so many jobs each.
const MOST_AT_ONCE: [usize; 2] = [300, 20];
const JOBS_IN_A_ROW: usize = 1000;
/// After so many jobs the heap gives memory back. Not more often: to reach all cores takes QEMU milliseconds.
const JOBS_UNTIL_PURGE: usize = 500;

static STARTED: AtomicUsize = AtomicUsize::new(0);
static FINISHED: AtomicUsize = AtomicUsize::new(0);

/// Works until all jobs are finished.
pub fn run() {
    while FINISHED.load(Relaxed) < JOBS {
        let started = STARTED.load(Relaxed);
        let under_way = started.saturating_sub(FINISHED.load(Relaxed));
        let has_started = under_way < MOST_AT_ONCE[started / JOBS_IN_A_ROW % 2] && start();
        if !has_started && !tasks::do_one() {
            // Until the next timer interrupt.
            arch::wait_for_interrupt();
        }
    }
}

/// Starts the next job; false if there is none.
fn start() -> bool {
    let job = STARTED.fetch_add(1, Relaxed);
    if job >= JOBS {
        STARTED.fetch_sub(1, Relaxed);
        return false;
    }
    let random = Random(job as u64);
    match job % 8 {
        0..3 => write_text(random),
        3..7 => send_packets(random),
        _ => record_signal(random),
    }
    true
}

fn finish() {
    let finished = FINISHED.fetch_add(1, Relaxed) + 1;
    // While all others work on. First all that is free: it comes again soon, in other frames, and a core that still knew the old ones would
    // break what is checked here. Then what was free all the time since.
    match finished % (2 * JOBS_UNTIL_PURGE) {
        JOBS_UNTIL_PURGE => HEAP.purge(),
        0 => HEAP.purge_aged(),
        _ => 0,
    };
}

// Job one: a text, the number of times that each word is in it.

fn words(mut random: Random) -> impl Iterator<Item = String> {
    (0..120).map(move |_| (random.below(100) * 7919).to_string())
}

fn write_text(random: Random) {
    let mut text = String::new();
    words(random).for_each(|word| {
        text.push_str(&word);
        text.push(' ');
    });
    tasks::send(1, move || count_words(random, text));
}

fn count_words(random: Random, text: String) {
    let mut counts = BTreeMap::<String, u32>::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_string()).or_default() += 1;
    }
    tasks::send(counts.len(), move || check_counts(random, counts));
}

fn check_counts(random: Random, mut counts: BTreeMap<String, u32>) {
    for word in words(random) {
        let count = counts.get_mut(&word).expect("a word is missing");
        *count -= 1;
        if *count == 0 {
            counts.remove(&word);
        }
    }
    assert!(counts.is_empty(), "words that were never written: {counts:?}");
    finish();
}

// Job two: packets as they come over a network. Each core looks at them, and drops every other one.

fn packets(mut random: Random) -> impl Iterator<Item = (usize, u8)> {
    (0..160).map(move |_| ([40, 64, 128, 576, 1500][random.below(5)], random.below(256) as u8))
}

fn send_packets(random: Random) {
    let packets: Vec<Box<[u8]>> = packets(random).map(|(length, byte)| alloc::vec![byte; length].into()).collect();
    tasks::send(packets.len() + 1, move || filter_packets(random, packets));
}

fn filter_packets(random: Random, packets: Vec<Box<[u8]>>) {
    check_packets(self::packets(random), &packets);
    let rest: Vec<_> = packets.into_iter().step_by(2).collect();
    tasks::send(rest.len() + 1, move || {
        check_packets(self::packets(random).step_by(2), &rest);
        drop(rest);
        finish();
    });
}

fn check_packets(expected: impl Iterator<Item = (usize, u8)>, packets: &[Box<[u8]>]) {
    for ((length, byte), packet) in expected.zip(packets) {
        assert!(packet.len() == length && packet.iter().all(|own| *own == byte), "a packet is broken");
    }
}

// Job three: a long signal, which is packed into pairs of a value and how often it comes.

fn signal(mut random: Random) -> impl Iterator<Item = (u16, u16)> {
    (0..400 + random.below(800)).map(move |number| (number as u16, 1 + random.below(64) as u16))
}

fn record_signal(random: Random) {
    let mut values = Vec::<u16>::new();
    for (value, times) in signal(random) {
        (0..times).for_each(|_| values.push(value));
    }
    tasks::send(1, move || pack_signal(random, values));
}

fn pack_signal(random: Random, values: Vec<u16>) {
    let packed: Vec<(u16, u16)> = values.chunk_by(|one, next| one == next).map(|run| (run[0], run.len() as u16)).collect();
    drop(values);
    tasks::send(1, move || {
        assert!(signal(random).eq(packed), "a signal is broken");
        finish();
    });
}

/// Random numbers that can be had again: SplitMix64.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}
