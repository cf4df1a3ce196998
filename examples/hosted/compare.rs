//! Starts this program with each allocator in turn and prints the results side by side.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::allocator::{VARIABLE, WARM_UP};
use crate::corpus::{self, File};
use crate::pipeline;

/// How often the work is done with each allocator.
const ROUNDS: usize = 3;
/// Bytes of memory that are touched before each run; a run on the documentation takes some 100 MiB.
const WARM: usize = 160 << 20;
/// Asked of the toolchain's documentation.
const DEFAULT_QUERIES: [&str; 4] = ["allocator", "allocator AND thread", "\"borrow checker\"", "mutex AND \"memory safety\""];

/// Indexes a folder (or the one that is there on most machines) with each allocator.
pub fn run(folder: Option<PathBuf>, queries: &[String]) -> io::Result<()> {
    let mut queries = queries.to_vec();
    let folder = folder.unwrap_or_else(|| {
        queries.extend(DEFAULT_QUERIES.map(String::from));
        corpus::default_folder()
    });
    let (files, total) = corpus::files(&folder)?;
    if files.is_empty() {
        return Err(io::Error::other(format!("no text files in {}", folder.display())));
    }
    describe(&folder, &files, total);
    // Once over all files, so that no run waits for the disk.
    files.iter().for_each(|file| drop(std::fs::read(&file.path)));
    let (mut coreheap, mut system) = (Results::default(), Results::default());
    for round in 0..ROUNDS {
        // First and second place in turn: the first often finds colder memory.
        let mut order = [("coreheap", &mut coreheap), ("system", &mut system)];
        order.rotate_left(round % 2);
        order.into_iter().try_for_each(|(allocator, results)| {
            start(WARM_UP).arg(WARM.to_string()).status()?;
            results.add_run(allocator, &folder, &queries)
        })?;
    }

    println!("{} words, {} different ones.\n", grouped(coreheap.get("words")), grouped(coreheap.get("distinct")));
    print_answers(&folder, &coreheap);
    print_table(&coreheap, &system);
    println!("\nThe heap while the index was there, and the size classes that held most:\n");
    coreheap.all("heap").for_each(|line| println!("  {line}"));
    let is_same = |name: &&str| coreheap.all(name).chain(system.all(name)).all(|value| value == coreheap.get(name));
    match ["digest", "words", "distinct"].iter().find(|name| !is_same(name)) {
        Some(name) => Err(io::Error::other(format!("the runs did not agree on the {name}; did files change meanwhile?"))),
        None => Ok(()),
    }
}

fn describe(folder: &Path, files: &[File], total: u64) {
    let size: u64 = files.iter().map(|file| file.size).sum();
    println!("A full-text index of {}:", folder.display());
    let choice = if size < total { format!(", evenly chosen from {}", bytes(total)) } else { String::new() };
    println!("{} files, {}{choice}.", grouped(&files.len().to_string()), bytes(size));
    println!("1 thread reads, {} cut text into words, 1 merges.", pipeline::tokenizer_count());
}

fn print_answers(folder: &Path, results: &Results) {
    for hits in results.all("hits") {
        let mut parts = hits.split('\t');
        let (query, count, first) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let first = Path::new(first).strip_prefix(folder).map_or(first.into(), |path| path.to_string_lossy());
        let example = if first.is_empty() { String::new() } else { format!(", such as {first}") };
        println!("  {query}: in {count} files{example}");
    }
}

fn print_table(coreheap: &Results, system: &Results) {
    println!("\n{:32}{:>12}{:>12}", "", "coreheap", "system");
    let row = |label: &str, name: &str, show: fn(f64) -> String| {
        let value = |results: &Results| results.median(name).map_or("-".into(), show);
        println!("{label:32}{:>12}{:>12}", value(coreheap), value(system));
    };
    row("build the index", "build", milliseconds);
    println!("{:32}{:>12}{:>12}", "  fastest to slowest", coreheap.spread("build"), system.spread("build"));
    row(&format!("answer {} queries", grouped(coreheap.get("queries"))), "answer", milliseconds);
    row("drop the index", "drop", milliseconds);
    row("memory at its peak", "peak", kib);
    row("memory after the drop", "left", kib);
    row("the same after a purge", "purged", kib);
    println!("{:32}{:>12}{:>12}", "answers", short(coreheap.get("digest")), short(system.get("digest")));
    println!(
        "Medians of {ROUNDS} runs each, taken in turns. Before each run another process touches {}: a virtual machine gives idle memory back",
        bytes(WARM as u64)
    );
    println!("to its host, and who touches it first pays for that, above all in huge pages, which coreheap asks for.");
}

/// This program once more, as a process that does what this value of [`VARIABLE`] says.
fn start(value: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.env(VARIABLE, value);
    command
}

/// What the processes with one allocator reported: names and values, one run after the other.
#[derive(Default)]
struct Results(Vec<(String, String)>);

impl Results {
    /// Runs this program with an allocator.
    fn add_run(&mut self, allocator: &str, folder: &Path, queries: &[String]) -> io::Result<()> {
        let output = start(allocator).arg(folder).args(queries).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("the run on {allocator} ended with {}", output.status)));
        }
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_first = self.0.is_empty();
        for (name, value) in lines.lines().filter_map(|line| line.split_once('\t')) {
            // Texts are the same in every run, but for the heap report: the first one does.
            if is_first || !["hits", "heap"].contains(&name) {
                self.0.push((name.to_string(), value.to_string()));
            }
        }
        Ok(())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first run's value, or nothing if it did not report one.
    fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// The values of all runs, the smallest first.
    fn sorted(&self, name: &str) -> Vec<f64> {
        let mut values: Vec<f64> = self.all(name).filter_map(|value| value.parse().ok()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, name: &str) -> Option<f64> {
        let values = self.sorted(name);
        values.get(values.len() / 2).copied()
    }

    /// The shortest and the longest of times in seconds, in milliseconds.
    fn spread(&self, name: &str) -> String {
        let values = self.sorted(name);
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return "-".into() };
        format!("{:.0}-{:.0} ms", first * 1e3, last * 1e3)
    }
}

fn bytes(bytes: u64) -> String {
    if bytes < 10 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn kib(kib: f64) -> String {
    bytes((kib as u64) << 10)
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// A number with commas between groups of three digits.
fn grouped(number: &str) -> String {
    let mut text = String::new();
    for (place, digit) in number.chars().enumerate() {
        if place > 0 && (number.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
