//! Running a test once for each of many seeds, and saying which one failed.

use alloc::string::String;
use std::eprintln;

use crate::rng::Rng;

/// Says which seed it was when a panic passes by.
struct Seed<'a>(&'a str, u64);

impl Drop for Seed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} failed with seed {}; run it alone with COREHEAP_SEED={}", self.0, self.1, self.1);
        }
    }
}

/// Runs `test` for `count` seeds (few under Miri), or only for the one that the variable `COREHEAP_SEED` names.
pub fn each_seed(name: &str, count: u64, mut test: impl FnMut(u64, Rng)) {
    let only: Option<u64> = std::env::var("COREHEAP_SEED").ok().as_ref().map(|text: &String| text.parse().expect("a number"));
    let count = if cfg!(miri) { count.div_ceil(32) } else { count };
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let _seed = Seed(name, seed);
        test(seed, Rng::new(seed));
    }
}
