//! What the hosted benchmark does to an allocator: a table of workloads.
//!
//! *Role*: each workload does a fixed amount of work, the same for every allocator and run, and is written after the description
//! of a benchmark that is known from the literature (see `shows`). The memory of the harness itself comes from the system's
//! allocator. Blocks are written to, as programs do.

use std::alloc::GlobalAlloc;

use crate::subject::Visit;

pub mod block;

mod actions;
mod alloc_test;
mod cache;
mod churn;
mod factor;
mod glibc;
mod growth;
mod large;
mod larson;
mod mstress;
mod pairs;
mod rptest;
mod shbench;
mod xmalloc;

/// How much a workload is to do, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Threads at a time.
    pub threads: usize,
    /// 1.0 is the benchmark; less is for tests.
    pub work: f64,
}

impl Job {
    /// One thread's part of so many turns altogether; at least one.
    pub fn part(&self, turns: usize) -> usize {
        ((turns as f64 * self.work / self.threads as f64) as usize).max(1)
    }

    /// So many threads' worth of operations.
    fn all(&self, of_one_thread: usize) -> u64 {
        (of_one_thread * self.threads) as u64
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub shows: &'static str,
    /// On how many threads it is run.
    pub threads: &'static [usize],
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    LastInFirstOut,
    LastInFirstOutOfOneSize,
    FirstInFirstOut(usize),
    Random(usize),
    RandomOfOneSize(usize),
    AllocTest,
    Larson,
    Xmalloc,
    Sh6,
    Sh8,
    Mstress,
    Rptest,
    CacheScratch,
    CacheThrash,
    GlibcSimple,
    GlibcThread,
    Factor,
    Growth,
    GrowthByAnEighth,
    GrowthBySteps,
    Actions { most: usize, write: bool },
    Large,
    Churn,
}

const fn row(name: &'static str, threads: &'static [usize], kind: Kind, shows: &'static str) -> Workload {
    Workload { name, shows, threads, kind }
}

/// All workloads, in the order of the results.
pub const WORKLOADS: &[Workload] = &[
    row("lifo", &[1, 2, 16], Kind::LastInFirstOut, "allocate one, free it at once; 16 to 1024 B"),
    row("lifo-48", &[1], Kind::LastInFirstOutOfOneSize, "the same with 48 B"),
    row("fifo-1k", &[1, 2, 16], Kind::FirstInFirstOut(1_000), "1,000 live, the oldest is replaced"),
    row("fifo-10k", &[1], Kind::FirstInFirstOut(10_000), "10,000 live, the oldest is replaced"),
    row("fifo-60k", &[1], Kind::FirstInFirstOut(60_000), "60,000 live, the oldest is replaced"),
    row("random-1k", &[1, 2, 16, 64], Kind::Random(1_000), "1,000 live a thread, any of them is replaced"),
    row("random-10k", &[1, 2], Kind::Random(10_000), "10,000 live a thread, any of them is replaced"),
    row("random-60k", &[1, 2], Kind::Random(60_000), "60,000 live a thread, any of them is replaced"),
    row("alloc-test", &[1, 2, 16], Kind::AllocTest, "skewed sizes and places, blocks written in full"),
    row("larson", &[1, 2, 16, 64], Kind::Larson, "a server: threads hand their blocks to successors"),
    row("xmalloc", &[2, 16, 64], Kind::Xmalloc, "one half of the threads allocates, the other frees"),
    row("sh6", &[1, 2, 16], Kind::Sh6, "waves of small blocks, freed in several orders"),
    row("sh8", &[1, 2, 16], Kind::Sh8, "the same, half of the waves freed by another thread"),
    row("mstress", &[1, 2, 16, 64], Kind::Mstress, "phases, retained blocks, blocks that change threads"),
    row("rptest", &[1, 2, 16, 64], Kind::Rptest, "16 to 16,000 B, scattered, some freed elsewhere"),
    row("cache-scratch", &[2, 16], Kind::CacheScratch, "passive false sharing"),
    row("cache-thrash", &[2, 16], Kind::CacheThrash, "active false sharing"),
    row("glibc-simple", &[1], Kind::GlibcSimple, "bursts of one size, freed in order"),
    row("glibc-thread", &[1, 2, 16, 64], Kind::GlibcThread, "1,024 live, many small and few big sizes"),
    row("factor", &[1, 2], Kind::Factor, "big numbers: each result is a new block"),
    row("growth", &[1, 2, 16], Kind::Growth, "vectors that double by realloc, up to 1 MiB"),
    row("growth-8th", &[1], Kind::GrowthByAnEighth, "one block grows by an eighth to 512 MiB, all written"),
    row("growth-8b", &[1], Kind::GrowthBySteps, "one block grows by 8 bytes to 64 MiB, all written"),
    row("actions-1k", &[1, 2, 16], Kind::Actions { most: 1_000, write: false }, "random allocate, free, realloc up to 1,000 B"),
    row("actions-20k", &[1, 2], Kind::Actions { most: 20_000, write: false }, "the same up to 20,000 B"),
    row("actions-write-1k", &[1, 2], Kind::Actions { most: 1_000, write: true }, "the same up to 1,000 B, all written"),
    row("actions-write-20k", &[1, 2], Kind::Actions { most: 20_000, write: true }, "the same up to 20,000 B, all written"),
    row("big-40k", &[1, 2], Kind::RandomOfOneSize(40_000), "40,000 B, 100 live a thread, any of them is replaced"),
    row("big-256k", &[1, 2], Kind::RandomOfOneSize(256 << 10), "256 KiB, 100 live a thread, any of them is replaced"),
    row("large", &[1, 2], Kind::Large, "5 to 25 MiB, 16 live, replaced and written"),
    row("churn", &[1, 2, 16], Kind::Churn, "threads that live for 100 blocks"),
];

/// Runs a workload on the allocator it visits; the result is the number of operations.
pub struct Run {
    /// Which one.
    pub workload: Workload,
    /// How much of it.
    pub job: Job,
}

impl Visit for Run {
    type Output = u64;

    fn visit<A: GlobalAlloc + Sync>(&mut self, allocator: &A) -> u64 {
        let job = &self.job;
        match self.workload.kind {
            Kind::LastInFirstOut => pairs::last_in_first_out(allocator, job),
            Kind::LastInFirstOutOfOneSize => pairs::last_in_first_out_of_one_size(allocator, job),
            Kind::FirstInFirstOut(live) => pairs::first_in_first_out(allocator, job, live),
            Kind::Random(live) => pairs::random(allocator, job, live),
            Kind::RandomOfOneSize(size) => pairs::random_of_one_size(allocator, job, size),
            Kind::AllocTest => alloc_test::run(allocator, job),
            Kind::Larson => larson::run(allocator, job),
            Kind::Xmalloc => xmalloc::run(allocator, job),
            Kind::Sh6 => shbench::alone(allocator, job),
            Kind::Sh8 => shbench::together(allocator, job),
            Kind::Mstress => mstress::run(allocator, job),
            Kind::Rptest => rptest::run(allocator, job),
            Kind::CacheScratch => cache::scratch(allocator, job),
            Kind::CacheThrash => cache::thrash(allocator, job),
            Kind::GlibcSimple => glibc::simple(allocator, job),
            Kind::GlibcThread => glibc::thread(allocator, job),
            Kind::Factor => factor::run(allocator, job),
            Kind::Growth => growth::run(allocator, job),
            Kind::GrowthByAnEighth => growth::one(allocator, job.part(512 << 20), |size| size / 8),
            Kind::GrowthBySteps => growth::one(allocator, job.part(64 << 20), |_| 8),
            Kind::Actions { most, write } => actions::run(allocator, job, most, write),
            Kind::Large => large::run(allocator, job),
            Kind::Churn => churn::run(allocator, job),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{PEERS, visit_named};

    #[test]
    fn names_are_unique() {
        for (place, workload) in WORKLOADS.iter().enumerate() {
            assert!(WORKLOADS[..place].iter().all(|other| other.name != workload.name), "{}", workload.name);
        }
    }

    #[test]
    fn every_workload_runs_on_every_allocator() {
        for workload in WORKLOADS {
            for peer in PEERS {
                let threads = workload.threads[0].max(2);
                for threads in [workload.threads[0], threads] {
                    let mut run = Run { workload: *workload, job: Job { threads, work: 1e-4 } };
                    let operations = visit_named(peer.name, &mut run).expect("a peer can be visited");
                    assert!(operations > 0, "{} on {}", workload.name, peer.name);
                }
            }
        }
    }
}
