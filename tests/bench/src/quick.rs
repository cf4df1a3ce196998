//! `cargo xtask bench quick`: nanoseconds for a pair of allocate and free, coreheap beside mimalloc and the system allocator,
//! all in one process and on one core, in rounds that take turns. Or instructions, where the clock counts them: `cargo xtask bench instructions`.

use std::path::PathBuf;

use clap::Parser;
use coreheap_bench::numbers::median;
use coreheap_bench::patterns::{PATTERNS, Pattern, Run};
use coreheap_bench::subject::{MIMALLOC, NAMES, visit};

/// The quick benchmark: one thread, six patterns, medians of several rounds.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Rounds; in each one every allocator runs every pattern once
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Pairs of allocate and free in a run
    #[arg(long, default_value_t = 1_000_000)]
    pairs: usize,
    /// Only the patterns whose name starts so
    #[arg(long, default_value = "")]
    pattern: String,
    /// The clock counts instructions: say so (`cargo xtask bench instructions`)
    #[arg(long)]
    instructions: bool,
    /// Write the CSV to this file and not below the table
    #[arg(long, conflicts_with = "instructions")]
    csv: Option<PathBuf>,
}

/// Nanoseconds, or instructions, a pair: `times[pattern][allocator]` has one value for each round.
type Times = Vec<Vec<Vec<f64>>>;

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let pinned = stay_on_one_core();
    println!("Quick benchmark: one run, one thread{}.", if pinned { ", pinned to one core" } else { "" });
    let unit = if arguments.instructions { "Instructions" } else { "Nanoseconds" };
    println!("{unit} for a pair of allocate and free, by `GlobalAlloc`: median of {} rounds", arguments.rounds);
    println!("of {} pairs; the allocators take turns. Smaller is better.\n", arguments.pairs);
    let patterns: Vec<Pattern> = PATTERNS.into_iter().filter(|pattern| pattern.name.starts_with(&arguments.pattern)).collect();
    if patterns.is_empty() || arguments.rounds == 0 || arguments.pairs < 1000 {
        return Err(std::io::Error::other("a pattern, a round and a thousand pairs at least"));
    }
    let mut times = measure(&arguments, &patterns);
    let medians: Vec<Vec<f64>> = times.iter_mut().map(|row| row.iter_mut().map(|values| median(values)).collect()).collect();
    print_table(&patterns, &medians);
    let csv = csv(&patterns, &times, &medians);
    match arguments.csv {
        Some(path) => std::fs::write(path, csv),
        None => {
            print!("\n{csv}");
            Ok(())
        }
    }
}

fn measure(arguments: &Arguments, patterns: &[Pattern]) -> Times {
    let mut times: Times = vec![vec![Vec::new(); NAMES.len()]; patterns.len()];
    // One pattern after the other, so that none finds what another left in the caches.
    for (pattern, row) in patterns.iter().zip(&mut times) {
        // Round 0 brings code and memory into place; its times are left out.
        for round in 0..=arguments.rounds {
            for turn in 0..NAMES.len() {
                let place = (round + turn) % NAMES.len();
                let nanoseconds = visit(place, &mut Run::new(*pattern, arguments.pairs));
                if round > 0 {
                    row[place].push(nanoseconds);
                }
            }
        }
    }
    times
}

fn print_table(patterns: &[Pattern], medians: &[Vec<f64>]) {
    print!("{:12}", "");
    NAMES.iter().for_each(|name| print!("{name:>11}"));
    println!("   coreheap / mimalloc");
    let mut product = 1.0;
    for (pattern, row) in patterns.iter().zip(medians) {
        print!("{:12}", pattern.name);
        row.iter().for_each(|value| print!("{value:11.2}"));
        let ratio = row[0] / row[MIMALLOC];
        product *= ratio;
        println!("   {ratio:8.2}   {}", pattern.shows);
    }
    let mean = product.powf(1.0 / patterns.len() as f64);
    println!(
        "{:12}{:width$}   {mean:8.2}   geometric mean; the loop's own time is in all of them",
        "",
        "",
        width = 11 * NAMES.len()
    );
}

fn csv(patterns: &[Pattern], times: &Times, medians: &[Vec<f64>]) -> String {
    let mut csv = String::from("pattern,allocator,median,min,max,ratio_to_mimalloc\n");
    for (index, pattern) in patterns.iter().enumerate() {
        for (place, name) in NAMES.iter().enumerate() {
            // `median` has sorted them.
            let values = &times[index][place];
            let (least, most) = (values[0], values[values.len() - 1]);
            let (median, ratio) = (medians[index][place], medians[index][place] / medians[index][MIMALLOC]);
            csv.push_str(&format!("{},{name},{median:.3},{least:.3},{most:.3},{ratio:.3}\n", pattern.name));
        }
    }
    csv
}

/// Keeps this thread on the core where it is; false where that cannot be had.
#[cfg(target_os = "linux")]
fn stay_on_one_core() -> bool {
    // SAFETY: the set is plain data, all zero is an empty one, and its size goes along.
    unsafe {
        let core = libc::sched_getcpu();
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core < 0 {
            return false;
        }
        libc::CPU_SET(core as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set) == 0
    }
}

/// Keeps this thread on the core where it is; false where that cannot be had.
#[cfg(not(target_os = "linux"))]
fn stay_on_one_core() -> bool {
    false
}
