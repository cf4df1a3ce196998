//! How full a region can be.

use std::io;

use coreheap_bench::numbers::median;
use coreheap_bench::table::{Table, write_csv};

use crate::Peer;
use crate::firmware::{BOARDS, Program, numbers};

const SIZES: [usize; 7] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 4 << 20];

/// Where the metadata of a region is a good part of it, and those of the allocators that are for such.
const SMALLEST: [usize; 4] = [256, 512, 1024, 2048];
const SMALL: [&str; 3] = ["Coreheap", "ExclusiveHeap", "linked_list_allocator"];

/// Fills, and prints.
pub fn run(peers: &[Peer]) -> io::Result<()> {
    // Masks change nothing here.
    let peers: Vec<&Peer> = peers.iter().filter(|peer| !peer.is_masked()).collect();
    let small: Vec<&Peer> = peers.iter().copied().filter(|peer| SMALL.contains(&peer.name)).collect();
    let mut csv = Vec::new();
    let [shares, refusals] = fill(&peers, &SIZES, &mut csv)?;
    let [small_shares, _] = fill(&small, &SMALLEST, &mut csv)?;
    [shares, refusals, small_shares].iter().for_each(Table::print);
    write_csv("bare-fill.csv", "region,allocator,seed,live,requests,refused", &csv)
}

/// The tables of live bytes and of refusals for regions of these sizes.
fn fill(peers: &[&Peer], sizes: &[usize], csv: &mut Vec<String>) -> io::Result<[Table; 2]> {
    let columns: Vec<String> = sizes.iter().copied().map(in_words).collect();
    let mut shares = Table::new("Live bytes when the first request is refused, % of the region".into(), columns.clone());
    let mut refusals = Table::new("Requests refused with 70 to 80 % live, %".into(), columns);
    // 32-bit, and with room for 4 MiB.
    let [_, board] = &BOARDS;
    let mut cells = vec![(Vec::new(), Vec::new()); peers.len()];
    for &bytes in sizes {
        let program = Program { name: "measure", target: board.target, opt_level: "3", bytes, heap: None }.build()?;
        for (peer, (shares, refusals)) in peers.iter().zip(&mut cells) {
            let lines = board.run(&program, false, &["fill", &peer.number.to_string()])?;
            let outcomes: Vec<Vec<f64>> = numbers(&lines, "fill").collect();
            if outcomes.is_empty() {
                shares.push("-".into());
                refusals.push("-".into());
                continue;
            }
            for (seed, outcome) in outcomes.iter().enumerate() {
                let [live, requests, refused] = outcome[..] else { return Err(io::Error::other("three numbers were expected")) };
                csv.push(format!("{bytes},\"{}\",{seed},{live},{requests},{refused}", peer.name));
            }
            let mut live: Vec<f64> = outcomes.iter().map(|outcome| 100.0 * outcome[0] / bytes as f64).collect();
            shares.push(format!("{:.1}", median(&mut live)));
            let long_runs = outcomes.iter().filter(|outcome| outcome[1] > 0.0);
            let mut refused: Vec<f64> = long_runs.map(|outcome| 100.0 * outcome[2] / outcome[1]).collect();
            refusals.push(format!("{:.2}", median(&mut refused)));
        }
    }
    for (peer, (share, refusal)) in peers.iter().zip(cells) {
        shares.row(peer.name, share);
        refusals.row(peer.name, refusal);
    }
    Ok([shares, refusals])
}

fn in_words(bytes: usize) -> String {
    match bytes {
        ..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
