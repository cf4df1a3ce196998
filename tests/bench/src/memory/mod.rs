//! How much memory an allocator takes for what it is asked for.
//!
//! *Role*: each case runs in a process of its own and gives figures with names. What the harness needs is taken and touched before
//! the first look at the memory, or kept in the blocks themselves.

use std::alloc::GlobalAlloc;
use std::io;

use crate::figures::{Case, Figure};
use crate::peers::{give_back, visit_named};
use crate::resident::now_kib;
use crate::subject::{COREHEAP, Visit};
use crate::workloads::block::Block;
use freed::Freed;

mod churned;
mod efficiency;
mod freed;
mod idle;

/// All cases, in the order of the results.
pub const CASES: &[Case] = &[
    Case { name: "dense/16", shows: "RSS for each byte of blocks of one size, all live and written, 256 MiB of them" },
    Case { name: "dense/32", shows: "the same" },
    Case { name: "dense/48", shows: "the same" },
    Case { name: "dense/100", shows: "the same" },
    Case { name: "dense/1000", shows: "the same" },
    Case { name: "dense/5000", shows: "the same" },
    Case {
        name: "idle-threads",
        shows: "1,000 threads allocate and free 1 MiB of mixed blocks, one after the other, and fall idle",
    },
    Case { name: "idle-together", shows: "1,000 threads, all of which hold their 1 MiB at the same time before they free it" },
    Case { name: "purge", shows: "1 GiB of mixed blocks churned down to 10 MiB, then everything given back that can be" },
    Case { name: "idle", shows: "the same, then 10 s without any work (coreheap with its purger, every second)" },
    Case { name: "freed-in-order", shows: "1 GiB of 16 to 4,096 bytes is freed, then 10 s without any call" },
    Case { name: "freed-at-random", shows: "the same, freed at random" },
    Case { name: "freed-but-some", shows: "the same, but one block in twenty stays" },
    Case { name: "light-load", shows: "the same as the first, but then a block is allocated and freed 50 times a second" },
    Case {
        name: "fragmentation",
        shows: "peak RSS for each byte live at the peak; sizes change for 40 phases, blocks die at random",
    },
    Case { name: "efficiency", shows: "talc's: live bytes in an arena of 128 MiB when a request is refused for the first time" },
];

const MIB: f64 = 1024.0;

/// Runs a case; `None` if the allocator cannot be measured so.
pub fn measure(case: &str, allocator: &str) -> io::Result<Option<Vec<Figure>>> {
    if let Some(size) = case.strip_prefix("dense/").and_then(|size| size.parse().ok()) {
        return visit_named(allocator, &mut Dense { size }).transpose();
    }
    let figures = match case {
        "idle-threads" => visit_named(allocator, &mut idle::Threads { together: false }),
        "idle-together" => visit_named(allocator, &mut idle::Threads { together: true }),
        "purge" => {
            let then = |figures: &mut Vec<Figure>, pages: f64| {
                if give_back(allocator) {
                    let now = now_kib()? as f64;
                    figures.push(Figure::new("purge: RSS then, MiB", now / MIB));
                    figures.push(Figure::new("purge: RSS then / live pages", now / pages));
                }
                Ok(())
            };
            visit_named(allocator, &mut churned::Churned { title: "purge", then })
        }
        "idle" => {
            if allocator.starts_with("coreheap") {
                COREHEAP.start_purger(std::time::Duration::from_secs(1))?;
            }
            let then = |figures: &mut Vec<Figure>, pages: f64| {
                std::thread::sleep(std::time::Duration::from_secs(10));
                let now = now_kib()? as f64;
                figures.push(Figure::new("idle: RSS after 10 s, MiB", now / MIB));
                figures.push(Figure::new("idle: RSS after 10 s / live pages", now / pages));
                Ok(())
            };
            visit_named(allocator, &mut churned::Churned { title: "idle", then })
        }
        "freed-in-order" => visit_named(allocator, &mut Freed::InOrder),
        "freed-at-random" => visit_named(allocator, &mut Freed::AtRandom),
        "freed-but-some" => visit_named(allocator, &mut Freed::ButSome),
        "light-load" => visit_named(allocator, &mut Freed::LightLoad),
        "fragmentation" => visit_named(allocator, &mut churned::Fragmentation),
        "efficiency" => efficiency::measure(allocator).map(|share| Ok(vec![Figure::new("efficiency: percent", 100.0 * share)])),
        _ => None,
    };
    figures.transpose()
}

/// Blocks of one size.
struct Dense {
    size: usize,
}

impl Visit for Dense {
    type Output = io::Result<Vec<Figure>>;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> Self::Output {
        let count = (256 << 20) / self.size;
        let before = now_kib()?;
        for _ in 0..count {
            // Nobody frees it.
            let _ = Block::filled(allocator, self.size).into_start();
        }
        let each = (now_kib()? - before) as f64 * 1024.0 / (count * self.size) as f64;
        Ok(vec![Figure::new(format!("dense/{}: RSS / payload", self.size), each)])
    }
}
