//! How long single calls take: quantiles for allocate, free and realloc.
//!
//! *Role*: 10,000 blocks are live on each thread; nine in ten are of 16 to 1024 bytes, most others of up to 16 KiB, one in a thousand
//! of up to 256 KiB. Every call is timed; what the clock itself takes is measured before and subtracted.

use std::alloc::GlobalAlloc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::figures::{Case, Figure};
use crate::numbers::{Random, quantile};
use crate::peers::visit_named;
use crate::subject::Visit;
use crate::workloads::block::{Block, free_all, on_threads};

/// All cases, in the order of the results.
pub const CASES: &[Case] = &[
    Case { name: "latency/1", shows: "single calls, one thread, 10,000 live, 16 B to 256 KiB" },
    Case { name: "latency/2", shows: "the same on two threads" },
];

const LIVE: usize = 10_000;
const TURNS: usize = 1_500_000;
const QUANTILES: [(f64, &str); 5] = [(0.5, "50 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"), (1.0, "maximum")];
const CALLS: [&str; 3] = ["allocate", "free", "realloc"];

/// Runs a case; `None` if there is no such case or allocator.
pub fn measure(case: &str, allocator: &str, turns: Option<usize>) -> Option<Vec<Figure>> {
    let threads = case.strip_prefix("latency/")?.parse().ok()?;
    visit_named(allocator, &mut Latency { threads, turns: turns.unwrap_or(TURNS) })
}

struct Latency {
    threads: usize,
    turns: usize,
}

impl Visit for Latency {
    type Output = Vec<Figure>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Vec<Figure> {
        let clock = Clock::new();
        let all: Mutex<[Vec<u32>; 3]> = Mutex::default();
        on_threads(self.threads, |number| {
            let times = one_thread(allocator, self.turns / self.threads, number as u64);
            let mut all = all.lock().unwrap_or_else(|error| error.into_inner());
            all.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
        });
        let all = all.into_inner().unwrap_or_else(|error| error.into_inner());
        let mut figures = Vec::new();
        for (call, mut times) in CALLS.iter().zip(all) {
            times.sort_unstable();
            let nanoseconds = |share| f64::from(quantile(&times, share).saturating_sub(clock.own_ticks)) * clock.nanoseconds_each;
            let of_call = QUANTILES.iter().map(|(share, label)| (format!("{call} {label}, ns"), nanoseconds(*share)));
            figures.extend(of_call.map(|(name, value)| Figure::new(format!("{} thread(s): {name}", self.threads), value)));
        }
        figures.push(Figure::new(
            format!("{} thread(s): the clock's own time, ns", self.threads),
            f64::from(clock.own_ticks) * clock.nanoseconds_each,
        ));
        figures
    }
}

/// Ticks of each allocate, free and realloc.
fn one_thread<A: GlobalAlloc>(allocator: &A, turns: usize, seed: u64) -> [Vec<u32>; 3] {
    let mut random = Random::seeded(seed);
    let mut times = [(); 3].map(|()| touched(turns));
    let mut blocks: Vec<Option<Block>> = (0..LIVE).map(|_| Some(Block::new(allocator, size(&mut random)))).collect();
    for turn in 0..2 * turns {
        let size = size(&mut random);
        let place = &mut blocks[random.below(LIVE)];
        if turn % 2 == 0 {
            let old = place.take();
            let [allocate, free, _] = &mut times;
            free.push(timed(|| free_all(allocator, old)));
            allocate.push(timed(|| *place = Some(Block::new(allocator, size))));
        } else if let Some(block) = place {
            // Not to any size: a vector that grows or shrinks by half.
            let size = if size.is_multiple_of(2) { block.size() * 3 / 2 } else { block.size() * 2 / 3 }.clamp(16, 256 << 10);
            times[2].push(timed(|| block.resize(allocator, size)));
        }
    }
    free_all(allocator, blocks.into_iter().flatten());
    times
}

fn size(random: &mut Random) -> usize {
    match random.below(1_000) {
        0 => random.within(16..256 << 10),
        1..100 => random.within(16..16 << 10),
        _ => random.within(16..1_025),
    }
}

/// An empty list whose memory is there.
fn touched(count: usize) -> Vec<u32> {
    let mut list = vec![1; count];
    list.clear();
    list
}

#[inline(always)]
fn timed(work: impl FnOnce()) -> u32 {
    let start = ticks();
    work();
    u32::try_from(ticks() - start).unwrap_or(u32::MAX)
}

/// What a tick is, and how many it takes to ask for the time.
struct Clock {
    nanoseconds_each: f64,
    own_ticks: u32,
}

impl Clock {
    fn new() -> Clock {
        let (start, start_ticks) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(20) {}
        let nanoseconds_each = start.elapsed().as_nanos() as f64 / (ticks() - start_ticks) as f64;
        let mut empty: Vec<u32> = (0..10_000).map(|_| timed(|| ())).collect();
        empty.sort_unstable();
        Clock { nanoseconds_each, own_ticks: quantile(&empty, 0.5) }
    }
}

/// The processor's counter, after everything before it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ticks() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: every x86-64 processor has both.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// Nanoseconds, from the system.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn ticks() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_grow() {
        let figures = measure("latency/2", "system", Some(2_000)).expect("the system has an allocator");
        assert_eq!(figures.len(), CALLS.len() * QUANTILES.len() + 1);
        for of_call in figures.chunks_exact(QUANTILES.len()) {
            assert!(of_call.is_sorted_by(|a, b| a.value <= b.value), "{of_call:?}");
        }
    }
}
