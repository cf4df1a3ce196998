//! What stays of memory that a program has freed, when it hardly calls any more.

use std::alloc::GlobalAlloc;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use super::MIB;
use crate::figures::Figure;
use crate::numbers::Random;
use crate::resident::now_kib;
use crate::subject::Visit;
use crate::workloads::block::Block;

const GIB: usize = 1 << 30;
/// How long the program then waits, in seconds.
const WAIT: u64 = 10;
/// How often a program under light load calls, in a second.
const CALLS: u64 = 50;

/// 1 GiB of blocks of 16 to 4,096 bytes is freed in one of these ways.
pub enum Freed {
    InOrder,
    AtRandom,
    /// At random, but for one block in twenty.
    ButSome,
    /// In order; then a block is allocated and freed now and then.
    LightLoad,
}

impl Freed {
    fn title(&self) -> &'static str {
        match self {
            Freed::InOrder => "freed-in-order",
            Freed::AtRandom => "freed-at-random",
            Freed::ButSome => "freed-but-some",
            Freed::LightLoad => "light-load",
        }
    }
}

impl Visit for Freed {
    type Output = io::Result<Vec<Figure>>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output {
        const COUNT: usize = GIB / 2_056;
        let mut random = Random::new();
        // Written, so that it is resident from here on.
        let mut blocks: Vec<Option<Block>> = Vec::with_capacity(COUNT);
        blocks.spare_capacity_mut().iter_mut().for_each(|place| _ = place.write(None));
        let before = now_kib()? as f64;
        blocks.extend((0..COUNT).map(|_| Some(Block::filled(allocator, random.within(16..4_097)))));
        let is_shuffled = matches!(self, Freed::AtRandom | Freed::ButSome);
        for last in (1..COUNT).rev().filter(|_| is_shuffled) {
            blocks.swap(last, random.below(last + 1));
        }
        let kept = if matches!(self, Freed::ButSome) { COUNT / 20 } else { 0 };
        blocks[kept..].iter_mut().filter_map(Option::take).for_each(|block| block.free(allocator));
        let live: usize = blocks.iter().flatten().map(Block::size).sum();
        let at_once = now_kib()? as f64;
        if matches!(self, Freed::LightLoad) {
            for _ in 0..WAIT * CALLS {
                Block::filled(allocator, random.within(16..4_097)).free(allocator);
                sleep(Duration::from_millis(1000 / CALLS));
            }
        } else {
            sleep(Duration::from_secs(WAIT));
        }
        let later = now_kib()? as f64;
        blocks.into_iter().flatten().for_each(|block| block.free(allocator));
        let title = self.title();
        Ok(vec![
            Figure::new(format!("{title}: live, MiB"), live as f64 / 1024.0 / MIB),
            Figure::new(format!("{title}: RSS at once, MiB"), (at_once - before) / MIB),
            Figure::new(format!("{title}: RSS {WAIT} s later, MiB"), (later - before) / MIB),
        ])
    }
}
