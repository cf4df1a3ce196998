//! By how much a module's memory grows.

use std::io;

use coreheap_bench::table::{Table, grouped, write_csv};

use crate::engine::{Engine, Measured, Plan};
use crate::module::{Kind, Modules};
use crate::work::{self, WORKS};
use crate::{ARENA, NOTHING, Peer, with_nothing};

/// Measures, and prints. It is the same in all engines, and each time.
pub fn run(peers: &[Peer], runs: usize) -> io::Result<()> {
    let peers: Vec<Peer> = peers.iter().copied().filter(|peer| peer.name != ARENA).collect();
    let all = with_nothing(&peers);
    let folder = Modules { kind: Kind::Work, opt_level: "3" }.build_all(&all)?;
    let measured = Engine::Node.measure("memory", &folder, &Plan { works: &work::NUMBERS, peers: &all, rounds: 1, runs })?;
    let title = format!(
        "KiB that the memory has grown by: after one run, after {runs} different ones with all freed in between, after a block of 1 MiB more"
    );
    let mut table = Table::new(title, WORKS);
    let of = |peer: &str, values: &[usize]| -> Vec<String> {
        let lines = measured.iter().filter(|line| line.name == peer);
        let in_kib = |line: &Measured| values.iter().map(|&value| grouped(line.values[value] / 1024.0)).collect::<Vec<_>>();
        lines.map(|line| in_kib(line).join(" / ")).collect()
    };
    for peer in &peers {
        table.row(peer.title, of(peer.name, &[1, 3, 4]));
    }
    table.row("live bytes, at most", of(NOTHING.name, &[0, 2]));
    table.print();
    let csv: Vec<String> = (measured.iter())
        .map(|Measured { name, work, values }| {
            let values: Vec<String> = values.iter().map(f64::to_string).collect();
            format!("{name},\"{}\",{}", WORKS[*work], values.join(","))
        })
        .collect();
    write_csv("wasm-memory.csv", "allocator,work,live_in_one,grown_after_one,live_in_all,grown_after_all,grown_after_1_mib", &csv)
}
