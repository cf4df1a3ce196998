//! Several workers on a shared memory.

use std::io;

use coreheap_bench::table::{Table, write_csv};

use crate::engine::{Measured, Plan};
use crate::module::{Kind, Modules};
use crate::{Arguments, Peer};

/// Those that are for several threads.
pub const PEERS: [Peer; 5] = [
    Peer { name: "coreheap", title: "Coreheap" },
    Peer { name: "std", title: "std's default (dlmalloc, spin lock)" },
    Peer { name: "talc-locked", title: "talc, spin lock" },
    Peer { name: "lol_alloc-locked", title: "lol_alloc, spin lock" },
    Peer { name: "picoalloc", title: "picoalloc, spin lock" },
];

/// Functions of `runner/workers.mjs`, what they are called in the table, and for how many workers.
const FUNCTIONS: [(&str, &str, &[usize]); 2] = [("workers", "own blocks", &[1, 2, 4]), ("exchange", "each other's", &[2, 4])];

/// Measures, and prints.
pub fn run(peers: &[Peer], arguments: &Arguments) -> io::Result<()> {
    let mut csv = Vec::new();
    for opt_level in &arguments.opt_level {
        let modules = Modules { kind: Kind::Workers, opt_level };
        let (built, notes) = build(&modules, peers);
        for engine in &arguments.engine {
            let title = format!("{}, `opt-level = {opt_level}`", engine.title()?);
            let mut cells = vec![Vec::new(); built.len()];
            for (function, what, counts) in FUNCTIONS {
                let plan = Plan { works: counts, peers: &built, rounds: arguments.rounds, runs: 1 };
                let measured = engine.measure(function, &modules.folder()?, &plan)?;
                for (peer, cells) in built.iter().zip(&mut cells) {
                    cells.extend(counts.iter().map(|&count| format!("{:.1}", best(&measured, peer, count))));
                }
                csv.extend(measured.iter().map(|Measured { name, work, values }| {
                    format!("\"{title}\",{name},{what},{work},{},{}", values[0], values[1])
                }));
            }
            print(&title, &built, cells);
        }
        notes.iter().for_each(|note| println!("\n{note}"));
    }
    write_csv("wasm-workers.csv", "engine,allocator,blocks,workers,round,million_pairs_a_second", &csv)
}

/// Those whose modules can be built, and why the others cannot.
fn build(modules: &Modules, peers: &[Peer]) -> (Vec<Peer>, Vec<String>) {
    let (mut built, mut notes) = (Vec::new(), Vec::new());
    for &peer in peers {
        match modules.build(&peer) {
            Ok(()) => built.push(peer),
            Err(error) => {
                let words = error.to_string();
                let error = words.lines().find(|line| line.starts_with("error")).unwrap_or(&words);
                notes.push(format!("{}: {error}", peer.title));
            }
        }
    }
    (built, notes)
}

fn print(title: &str, peers: &[Peer], cells: Vec<Vec<String>>) {
    let columns = FUNCTIONS.iter().flat_map(|(_, what, counts)| counts.iter().map(move |count| format!("{what}: {count}")));
    let heading = "Million pairs of allocate and free a second, of all workers together, by whose blocks they free";
    let mut table = Table::new(format!("{heading}: {title}"), columns);
    peers.iter().zip(cells).for_each(|(peer, cells)| table.row(peer.title, cells));
    table.print();
}

/// The best round: other work on the machine only ever takes.
fn best(measured: &[Measured], peer: &Peer, count: usize) -> f64 {
    let rounds = measured.iter().filter(|line| line.name == peer.name && line.work == count);
    rounds.map(|line| line.values[1]).fold(0.0, f64::max)
}
