//! `cargo xtask bench wasm`: coreheap in WebAssembly modules beside other allocators.
//!
//! | file | |
//! |---|---|
//! | `module.rs` | builds the measured modules: `module`, once for each allocator |
//! | `engine.rs` | runs them in Node or in Chromium, by the scripts in `runner` |
//! | `work.rs` | the names of what they do |
//! | `time.rs` | nanoseconds of a call |
//! | `memory.rs` | by how much a module's memory grows |
//! | `size.rs` | bytes of code |
//! | `workers.rs` | several workers on a shared memory |

mod engine;
mod memory;
mod module;
mod size;
mod time;
mod work;
mod workers;

use std::io;

use clap::{Parser, ValueEnum};

use engine::Engine;

/// coreheap in WebAssembly modules beside other allocators: time, memory, code size.
#[derive(Parser)]
#[command(name = "wasm", bin_name = "cargo xtask bench wasm --")]
struct Arguments {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only the allocators whose name starts so (several: separated by commas)
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    only: Vec<String>,
    /// Where time is measured
    #[arg(long, value_enum, value_delimiter = ',', default_value = "node,chromium")]
    engine: Vec<Engine>,
    /// How the modules whose time is measured are optimised
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', default_value = "3")]
    opt_level: Vec<String>,
    /// Rounds, where time is measured; in each one every allocator does all work once, in a fresh instance
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Runs of 100,000 actions in a round, and where memory is measured
    #[arg(long, default_value_t = 10)]
    runs: usize,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds of a call
    Time,
    /// By how much a module's memory grows
    Memory,
    /// Bytes of code
    Size,
    /// One, two and four workers on a shared memory; the modules are built by nightly Rust
    Workers,
}

/// One allocator of the tables.
#[derive(Clone, Copy)]
struct Peer {
    /// The module's feature.
    name: &'static str,
    /// What it is called in the tables.
    title: &'static str,
}

/// Does nothing: what it costs is not the allocators'.
const NOTHING: Peer = Peer { name: "nothing", title: "(no allocator)" };

/// What the ratios are taken to.
const REFERENCE: &str = "talc";

/// Its memory is as big from the start as it ever is.
const ARENA: &str = "talc-arena";

const PEERS: [Peer; 12] = [
    Peer { name: "coreheap", title: "Coreheap" },
    Peer { name: "coreheap-small", title: "SmallCoreheap" },
    Peer { name: "std", title: "std's default (dlmalloc)" },
    Peer { name: "dlmalloc", title: "dlmalloc, the crate" },
    Peer { name: REFERENCE, title: "talc, dynamic" },
    Peer { name: ARENA, title: "talc, arena of 32 MiB" },
    Peer { name: "talc-least", title: "talc, least code" },
    Peer { name: "rlsf", title: "rlsf" },
    Peer { name: "rlsf-small", title: "rlsf, small" },
    Peer { name: "lol_alloc", title: "lol_alloc" },
    Peer { name: "picoalloc", title: "picoalloc" },
    Peer { name: "rusty_alloc", title: "rusty_alloc" },
];

/// These, and none.
fn with_nothing(peers: &[Peer]) -> Vec<Peer> {
    [NOTHING].into_iter().chain(peers.iter().copied()).collect()
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if arguments.rounds == 0 || arguments.runs == 0 {
        return Err(io::Error::other("a round and a run at least"));
    }
    let is_wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|prefix| name.starts_with(prefix));
    let wanted = |peers: &[Peer]| peers.iter().copied().filter(|peer| is_wanted(peer.name)).collect::<Vec<Peer>>();
    let peers = wanted(&PEERS);
    let wants = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wants(Part::Time) {
        time::run(&peers, &arguments)?;
    }
    if wants(Part::Memory) {
        memory::run(&peers, arguments.runs)?;
    }
    if wants(Part::Size) {
        size::run(&peers)?;
    }
    if wants(Part::Workers) {
        workers::run(&wanted(&workers::PEERS), &arguments)?;
    }
    Ok(())
}
