//! Instructions for each operation, counted by callgrind: the same in every run, whatever else the machine does.
//!
//! *Role*: each workload with one thread runs twice, with little work and with twice as much; the difference is free of what
//! starting and ending take. coreheap takes its portable path here, as Valgrind knows no restartable sequences.

use std::io;
use std::process::{Command, Stdio};

use coreheap_bench::figures::Figure;
use coreheap_bench::peers::PEERS;
use coreheap_bench::workloads::{WORKLOADS, Workload};

use crate::arguments::{Arguments, Group};
use crate::figures::Figures;
use coreheap_bench::process::Sample;

/// Parts of the usual work.
const WORK: [f64; 2] = [0.01, 0.02];

/// Counts and reports, for the workloads with one thread that are wanted.
pub fn run(arguments: &Arguments) -> io::Result<()> {
    // Not the ones whose work is not in the calls, and not those that start threads by the thousand.
    let small = WORKLOADS.iter().filter(|workload| !["large", "churn", "factor", "mstress"].contains(&workload.name));
    let wanted =
        small.filter(|workload| workload.threads.contains(&1) && arguments.wants(Group::One, &format!("{}/1", workload.name)));
    // The portable path is the only one there is.
    let columns = PEERS.iter().map(|peer| peer.name).filter(|name| arguments.has_column(name) && *name != "coreheap-portable");
    let columns: Vec<&str> = columns.collect();
    let mut figures = Figures::new(columns.clone());
    for workload in wanted {
        for &column in &columns {
            eprint!("\rcallgrind: {:20} {column:20}", workload.name);
            match each(workload, column) {
                Ok(instructions) => figures.add(column, Figure::new(format!("{}/1", workload.name), instructions)),
                Err(error) => eprintln!("\rfailed: {} on {column}: {error}", workload.name),
            }
        }
    }
    eprint!("\r{:60}\r", "");
    println!("instructions for each operation (a pair, mostly), counted by callgrind, the loop's own among them;");
    println!("coreheap on its portable path, which is the only one under Valgrind\n");
    println!("{}", figures.table());
    std::fs::write(arguments.out_folder()?.join("instructions.csv"), figures.csv())
}

fn each(workload: &Workload, column: &str) -> io::Result<f64> {
    let [less, more] = WORK.map(|work| count(workload, column, work));
    let ((less, fewer), (more, many)) = (less?, more?);
    Ok((more - less) / (many - fewer))
}

/// Instructions and operations of a run.
fn count(workload: &Workload, column: &str, work: f64) -> io::Result<(f64, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["child", workload.name, column, "1", &work.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    let sample = Sample::from_line(&String::from_utf8_lossy(&output.stdout));
    match (collected, sample) {
        (Some(instructions), Some(sample)) if output.status.success() => Ok((instructions, sample.operations as f64)),
        _ => Err(io::Error::other(format!("{}: {}", output.status, report.lines().last().unwrap_or_default()))),
    }
}
