//! Threads that had their share of memory and wait for something else.

use std::alloc::GlobalAlloc;
use std::io;
use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::sync::{Barrier, RwLock};
use std::thread::{Builder, scope, sleep};
use std::time::Duration;

use super::MIB;
use crate::figures::Figure;
use crate::numbers::Random;
use crate::resident::now_kib;
use crate::subject::Visit;
use crate::workloads::block::Block;

const THREADS: usize = 1_000;
/// What a thread allocates.
const BYTES: usize = 1 << 20;
const STACK: usize = 64 << 10;

/// Whether all have it at the same time.
pub struct Threads {
    pub together: bool,
}

impl Visit for Threads {
    type Output = io::Result<Vec<Figure>>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output {
        let title = if self.together { "idle-together" } else { "idle-threads" };
        let all_have_it = Barrier::new(THREADS);
        // Threads wait for reading while this one has it.
        let end = RwLock::new(());
        let (done, is_done) = channel();
        let before = now_kib()? as f64;
        scope(|scope| {
            let held = end.write().unwrap_or_else(|error| error.into_inner());
            for number in 0..THREADS {
                let (done, all_have_it, end, together) = (done.clone(), &all_have_it, &end, self.together);
                let work = move || {
                    let chain = Chain::new(allocator, number as u64);
                    if together {
                        all_have_it.wait();
                    }
                    chain.free(allocator);
                    let _ = done.send(());
                    drop(end.read());
                };
                Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
                if !self.together {
                    let _ = is_done.recv();
                }
            }
            if self.together {
                is_done.iter().take(THREADS).for_each(drop);
            }
            let at_once = now_kib()? as f64 - before;
            sleep(Duration::from_millis(1500));
            let later = now_kib()? as f64 - before;
            drop(held);
            Ok(vec![
                Figure::new(format!("{title}: RSS, MiB"), at_once / MIB),
                Figure::new(format!("{title}: RSS 1.5 s later, MiB"), later / MIB),
            ])
        })
    }
}

/// Blocks of which each knows the next one: they need no memory but their own.
struct Chain(Option<Block>);

impl Chain {
    fn new<A: GlobalAlloc>(allocator: &A, seed: u64) -> Chain {
        let mut random = Random::seeded(seed);
        let (mut bytes, mut first) = (0, None);
        while bytes < BYTES {
            let block = Block::filled(allocator, random.within(16..1_025));
            bytes += block.size();
            let (start, size) = first.take().map_or((0, 0), |next: Block| (next.start().as_ptr() as usize, next.size()));
            // SAFETY: the block has two words at least, aligned to 8.
            unsafe { block.start().cast::<[usize; 2]>().write([start, size]) };
            first = Some(block);
        }
        Chain(first)
    }

    fn free<A: GlobalAlloc>(self, allocator: &A) {
        let mut next = self.0;
        while let Some(block) = next {
            // SAFETY: written in `new`.
            let [start, size] = unsafe { block.start().cast::<[usize; 2]>().read() };
            block.free(allocator);
            // SAFETY: it is the block that `new` found in the chain, and nobody else has it.
            next =
                NonNull::new(std::ptr::with_exposed_provenance_mut(start)).map(|start| unsafe { Block::from_start(start, size) });
        }
    }
}
