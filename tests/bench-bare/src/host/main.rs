//! `cargo xtask bench bare`: coreheap on bare metal beside other allocators.
//!
//! | file | |
//! |---|---|
//! | `firmware.rs` | builds the programs for the targets, and runs them in QEMU |
//! | `count.rs` | instructions of single calls |
//! | `fill.rs` | how full a region can be |
//! | `size.rs` | code and data |
//! | `cores.rs` | several cores at once |

mod cores;
mod count;
mod fill;
mod firmware;
mod size;

use std::io;

use clap::{Parser, ValueEnum};
use coreheap_bench_bare::for_each_peer;

/// coreheap on bare metal beside other allocators: exact instruction counts, how full a region can be, code size.
#[derive(Parser)]
#[command(name = "bare", bin_name = "cargo xtask bench bare --")]
struct Arguments {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only the allocators whose name starts so (several: separated by commas)
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    only: Vec<String>,
    /// How the programs whose instructions are counted are optimised
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', default_value = "s")]
    opt_level: Vec<String>,
    /// Rounds, where time is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions of an allocate, a free and a realloc, counted by QEMU
    Count,
    /// Code and data of the least firmware
    Size,
    /// How full regions of 256 bytes to 4 MiB can be, and how many requests are refused in a long run
    Fill,
    /// Threads, and harts in QEMU, that allocate boxes and free each other's
    Cores,
}

/// One allocator of the table.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    /// Its type, as the programs write it.
    heap: &'static str,
    /// Its place, by which programs know it.
    number: usize,
}

macro_rules! table {
    ($($(#[$cfg:meta])? $name:literal => $heap:ty,)*) => {
        /// All of them.
        const PEERS: &[(&str, &str)] = &[$(($name, stringify!($heap))),*];
    };
}

for_each_peer!(table);

impl Peer {
    /// Whether somebody else keeps interrupts away from it.
    fn is_masked(&self) -> bool {
        self.heap.contains("Masked")
    }

    /// Whether nobody does, nor itself.
    fn is_unguarded(&self) -> bool {
        self.heap.contains("Unguarded")
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let is_wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|prefix| name.starts_with(prefix));
    let peers: Vec<Peer> = (PEERS.iter().enumerate())
        .filter(|(_, (name, _))| is_wanted(name))
        .map(|(number, &(name, heap))| Peer { name, heap, number })
        .collect();
    let wants = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wants(Part::Count) {
        count::run(&peers, &arguments.opt_level)?;
    }
    if wants(Part::Size) {
        size::run(&peers)?;
    }
    if wants(Part::Fill) {
        fill::run(&peers)?;
    }
    if wants(Part::Cores) {
        cores::run(arguments.rounds)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use coreheap_bench_bare::*;

    const BYTES: usize = 64 << 10;

    macro_rules! every_allocator_works {
        ($($(#[$cfg:meta])? $name:literal => $heap:ty,)*) => {
            #[test]
            fn every_allocator_works() {
                $(
                    $(#[$cfg])?
                    {
                        static HEAP: $heap = <$heap>::NEW;
                        static MEMORY: Memory<BYTES> = Memory::new();
                        // SAFETY: once, and nobody else's.
                        assert!(unsafe { HEAP.take(MEMORY.region()) }, "{}", $name);
                        // It checks that blocks do not overlap.
                        let outcome = fill::run(&HEAP, &mut fill::Blocks::new(), BYTES, 1);
                        assert!(outcome.live > BYTES / 8 && outcome.refused < outcome.requests, "{}: {outcome:?}", $name);
                    }
                )*
            }
        };
    }

    for_each_peer!(every_allocator_works);
}
