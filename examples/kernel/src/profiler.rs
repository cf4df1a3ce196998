//! A profiler: every timer interrupt notes where its core was, in blocks from the heap, whatever it interrupts.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use crate::arch;
use crate::cores::CORES;
use crate::lock::Lock;

/// How many samples a core keeps.
const KEPT: usize = 64;

/// One for each core.
static PROFILES: [Lock<Profile>; CORES] = [const { Lock::new(Profile::new()) }; CORES];

struct Profile {
    /// The last ones.
    samples: VecDeque<Box<Sample>>,
    counts: Counts,
}

/// How many samples there were, and how many of them in the heap's code.
#[derive(Clone, Copy)]
pub struct Counts {
    pub all: usize,
    pub in_heap: usize,
}

struct Sample {
    number: usize,
    at: usize,
    text: String,
}

impl Sample {
    fn new(number: usize, at: usize) -> Self {
        Sample { number, at, text: Self::text(number, at) }
    }

    fn text(number: usize, at: usize) -> String {
        format!("core {}, sample {number}, at {at:#x}", arch::core())
    }

    fn check(&self, number: usize) {
        assert!(self.number == number && self.text == Self::text(number, self.at), "sample {number} is broken: {}", self.text);
    }
}

impl Profile {
    const fn new() -> Self {
        Profile { samples: VecDeque::new(), counts: Counts { all: 0, in_heap: 0 } }
    }

    fn add(&mut self, at: usize) {
        self.samples.push_back(Box::new(Sample::new(self.counts.all, at)));
        self.counts.all += 1;
        self.counts.in_heap += usize::from(is_in_heap(at));
        if self.samples.len() > KEPT {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let number = self.counts.all - self.samples.len();
        self.samples.pop_front().expect("there is one").check(number);
    }
}

/// This core was at `at` when the interrupt came.
pub fn tick(at: usize) {
    PROFILES[arch::core()].with(|profile| profile.add(at));
}

/// When the next interrupt is to come: in 30 to 130 µs, so that it hits anything, again and again. `now` is any time that goes on.
pub fn microseconds_to_next(now: u64) -> u64 {
    30 + (now.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 100
}

/// Drops this core's samples, each of which is checked.
pub fn finish() {
    PROFILES[arch::core()].with(|profile| {
        while !profile.samples.is_empty() {
            profile.drop_oldest();
        }
        profile.samples = VecDeque::new();
    });
}

/// A core's counts.
pub fn counts(core: usize) -> Counts {
    PROFILES[core].with(|profile| profile.counts)
}

/// Whether this is the address of code of the heap: the linker script put that together.
fn is_in_heap(address: usize) -> bool {
    unsafe extern "C" {
        static __heap_code_start: u8;
        static __heap_code_end: u8;
    }
    ((&raw const __heap_code_start).addr()..(&raw const __heap_code_end).addr()).contains(&address)
}
