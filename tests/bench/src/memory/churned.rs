//! Memory after much has come and gone.

use std::alloc::GlobalAlloc;
use std::collections::HashSet;
use std::io;

use super::MIB;
use crate::figures::Figure;
use crate::numbers::Random;
use crate::resident::{now_kib, peak_kib};
use crate::subject::Visit;
use crate::workloads::block::Block;

const GIB: usize = 1 << 30;
const OS_PAGE: usize = 4096;

/// 1 GiB of blocks of 16 to 1024 bytes; some are replaced; all but one in a hundred are freed, at random. `then` is told how many
/// KiB of pages the live ones lie on, the process' own beside them.
pub struct Churned<F> {
    pub title: &'static str,
    pub then: F,
}

impl<F: FnMut(&mut Vec<Figure>, f64) -> io::Result<()>> Visit for Churned<F> {
    type Output = io::Result<Vec<Figure>>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output {
        const COUNT: usize = GIB / 520;
        let mut random = Random::new();
        // Written, so that it is resident from here on.
        let mut blocks: Vec<Option<Block>> = Vec::with_capacity(COUNT);
        for place in blocks.spare_capacity_mut() {
            place.write(None);
        }
        let before = now_kib()? as f64;
        let fresh = |random: &mut Random| Some(Block::filled(allocator, random.within(16..1_025)));
        blocks.extend((0..COUNT).map(|_| fresh(&mut random)));
        for _ in 0..COUNT {
            let place = &mut blocks[random.below(COUNT)];
            place.take().into_iter().for_each(|block| block.free(allocator));
            *place = fresh(&mut random);
        }
        for place in &mut blocks {
            if random.below(100) > 0 {
                place.take().into_iter().for_each(|block| block.free(allocator));
            }
        }
        let at_once = now_kib()? as f64;
        let pages: HashSet<usize> = (blocks.iter().flatten())
            .flat_map(|block| {
                let start = block.start().as_ptr() as usize;
                start / OS_PAGE..=(start + block.size() - 1) / OS_PAGE
            })
            .collect();
        let live_pages = (pages.len() * OS_PAGE / 1024) as f64;
        drop(pages);
        let mut figures = vec![
            Figure::new(format!("{}: live pages, MiB", self.title), live_pages / MIB),
            Figure::new(format!("{}: RSS at once, MiB", self.title), (at_once - before) / MIB),
        ];
        // What the harness itself has is not the allocator's.
        let first_new = figures.len();
        (self.then)(&mut figures, live_pages)?;
        for figure in &mut figures[first_new..] {
            figure.value -= before / if figure.name.ends_with("pages") { live_pages } else { MIB };
        }
        Ok(figures)
    }
}

/// A long run in which the sizes change.
pub struct Fragmentation;

const PHASES: usize = 40;
const LIVE_BYTES: usize = 64 << 20;

impl Visit for Fragmentation {
    type Output = io::Result<Vec<Figure>>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output {
        let mut random = Random::new();
        const PLACES: usize = LIVE_BYTES / 16;
        let mut blocks: Vec<Block> = Vec::with_capacity(PLACES);
        // SAFETY: the bytes are the vector's spare room; what they are does not matter.
        unsafe { blocks.as_mut_ptr().write_bytes(0, PLACES) };
        let before = now_kib()? as f64;
        let (mut live, mut most_live) = (0, 0);
        for _ in 0..PHASES {
            // Each phase has its own sizes: small, middle or big ones, and not many different.
            let least = 16 << random.below(9);
            let sizes = least..2 * least;
            // It begins with less than there was, and ends with more.
            let keep = random.within(LIVE_BYTES / 4..LIVE_BYTES / 2);
            while live > keep {
                let block = blocks.swap_remove(random.below(blocks.len()));
                live -= block.size();
                block.free(allocator);
            }
            while live < LIVE_BYTES {
                let block = Block::filled(allocator, random.within(sizes.clone()));
                live += block.size();
                blocks.push(block);
                if random.below(3) == 0 {
                    let block = blocks.swap_remove(random.below(blocks.len()));
                    live -= block.size();
                    block.free(allocator);
                }
            }
            most_live = most_live.max(live);
        }
        let peak = (peak_kib()? as f64 - before) * 1024.0;
        Ok(vec![Figure::new("fragmentation: peak RSS / peak live", peak / most_live as f64)])
    }
}
