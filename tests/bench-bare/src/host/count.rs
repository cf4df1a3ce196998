//! Instructions of single calls.

use std::io;
use std::path::Path;

use coreheap_bench_bare::count::CALLS;

use crate::Peer;
use crate::firmware::{BOARDS, Board, Program, numbers};
use crate::table::{Table, grouped, write_csv};

/// Twice the live set; and what allocators get that cannot use so little.
const BYTES: [usize; 2] = [32 << 10, 64 << 10];

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

fn count_on(board: &Board, opt_level: &str, peers: &[Peer], csv: &mut Vec<String>) -> io::Result<()> {
    let title = format!("Instructions, median / 99 % / maximum: {}, `opt-level = \"{opt_level}\"`", board.name);
    let mut table = Table::new(title, CALLS.iter().copied().chain(["refused"]));
    let mut left = peers.to_vec();
    for bytes in BYTES {
        let program = Program { name: "measure", target: board.target, opt_level, bytes, heap: None }.build()?;
        let mut unable = Vec::new();
        for peer in left {
            let Some((calls, refused)) = count_of(peer, board, &program)? else {
                unable.push(peer);
                continue;
            };
            let note = if bytes == BYTES[0] { String::new() } else { format!(", in {} KiB", bytes >> 10) };
            let cells = calls.iter().map(|counts| counts.iter().map(|count| grouped(*count)).collect::<Vec<_>>().join(" / "));
            table.row(&format!("{}{note}", peer.name), cells.chain([grouped(refused)]).collect());
            for (call, [median, nearly_all, most]) in CALLS.iter().zip(calls) {
                let start = format!("{},{opt_level},{bytes},\"{}\",{refused}", board.target, peer.name);
                csv.push(format!("{start},{call},{median},{nearly_all},{most}"));
            }
        }
        left = unable;
    }
    for peer in left {
        table.row(peer.name, vec!["-".into(); CALLS.len() + 1]);
    }
    table.print();
    Ok(())
}

/// Median, 99 % and maximum for each call, and how many requests were refused; `None` if the allocator is not there or cannot use the region.
fn count_of(peer: Peer, board: &Board, program: &Path) -> io::Result<Option<(Vec<[f64; 3]>, f64)>> {
    let lines = board.run(program, true, &["count", &peer.number.to_string()])?;
    let calls = CALLS.iter().filter_map(|call| numbers(&lines, call).next()?.try_into().ok()).collect();
    Ok(numbers(&lines, "refused").next().map(|refused| (calls, refused[0])))
}
