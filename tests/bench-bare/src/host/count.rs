//! Instructions of single calls.

use std::io;
use std::path::Path;

use coreheap_bench::table::{Table, grouped, write_csv};
use coreheap_bench_bare::count::CALLS;

use crate::Peer;
use crate::firmware::{BOARDS, Board, Program, numbers};

/// Four times the live set; and twice, for those that save time only while memory is free.
const BYTES: [usize; 2] = [64 << 10, 32 << 10];
const ADAPTIVE: [&str; 2] = ["Coreheap", "ExclusiveHeap"];

/// How the names of those end whose calls are masked.
const MASKED: &str = ", masked";

/// Counts, and prints.
pub fn run(peers: &[Peer], opt_levels: &[String]) -> io::Result<()> {
    let mut csv = Vec::new();
    for opt_level in opt_levels {
        for board in &BOARDS {
            count_on(board, opt_level, peers, &mut csv)?;
        }
    }
    write_csv("bare-count.csv", "target,opt_level,region,allocator,refused,call,median,99%,maximum", &csv)
}

/// What was counted of one allocator.
struct Counts {
    peer: Peer,
    bytes: usize,
    /// Median, 99 % and maximum for each call.
    calls: Vec<[f64; 3]>,
    refused: f64,
}

fn count_on(board: &Board, opt_level: &str, peers: &[Peer], csv: &mut Vec<String>) -> io::Result<()> {
    let mut all: Vec<Counts> = Vec::new();
    for bytes in BYTES {
        let program = Program { name: "measure", target: board.target, opt_level, bytes, heap: None }.build()?;
        for &peer in peers {
            if bytes == BYTES[0] || ADAPTIVE.contains(&peer.name) {
                all.extend(count_of(peer, bytes, board, &program)?);
            }
        }
    }
    let title = format!("Instructions, median / 99 % / maximum: {}, `opt-level = \"{opt_level}\"`", board.name);
    let mut table = Table::new(title, CALLS.iter().copied().chain(["refused", "a mask adds"]));
    for counts in &all {
        let Counts { peer, bytes, calls, refused } = counts;
        for (call, [median, nearly_all, most]) in CALLS.iter().zip(calls) {
            let start = format!("{},{opt_level},{bytes},\"{}\",{refused}", board.target, peer.name);
            csv.push(format!("{start},{call},{median},{nearly_all},{most}"));
        }
        // A mask is the same few instructions in each call: a column, and no row.
        let is_masked_of = |masked: &Counts, other: &Counts| {
            masked.bytes == other.bytes && masked.peer.name.strip_suffix(MASKED).is_some_and(|name| name == other.peer.name)
        };
        if all.iter().any(|other| is_masked_of(counts, other)) {
            continue;
        }
        let masked = all.iter().find(|other| is_masked_of(other, counts));
        let mask = masked.map_or("-".into(), |masked| grouped(masked.calls[0][0] - calls[0][0]));
        let cells = calls.iter().map(|counts| counts.map(grouped).join(" / "));
        let note = if *bytes == BYTES[0] { String::new() } else { format!(", in {} KiB", bytes >> 10) };
        table.row(&format!("{}{note}", peer.name), cells.chain([grouped(*refused), mask]).collect());
    }
    table.print();
    Ok(())
}

/// `None` if the allocator is not there or cannot use the region.
fn count_of(peer: Peer, bytes: usize, board: &Board, program: &Path) -> io::Result<Option<Counts>> {
    let lines = board.run(program, true, &["count", &peer.number.to_string()])?;
    let calls = CALLS.iter().filter_map(|call| numbers(&lines, call).next()?.try_into().ok()).collect();
    Ok(numbers(&lines, "refused").next().map(|refused| Counts { peer, bytes, calls, refused: refused[0] }))
}
