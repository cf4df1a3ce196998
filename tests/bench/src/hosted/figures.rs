//! Memory and latency: each case and allocator in a process of its own, figures instead of ratios.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use coreheap_bench::figures::{Case, Figure};
use coreheap_bench::numbers::median;
use coreheap_bench::peers::{PEERS, REFERENCE};
use coreheap_bench::{latency, memory};

use crate::arguments::{Arguments, Group};
use crate::plot::Picture;
use coreheap_bench::process::{own_child, warm};

/// Cases that allocators differ in by more than they do from run to run need no more rounds than this.
const MEMORY_ROUNDS: usize = 3;

/// Lines of figures, a column for each allocator.
pub struct Figures {
    columns: Vec<&'static str>,
    /// In the order in which they came.
    names: Vec<String>,
    values: BTreeMap<(String, &'static str), Vec<f64>>,
}

impl Figures {
    /// An empty table.
    pub fn new(columns: Vec<&'static str>) -> Self {
        Figures { columns, names: Vec::new(), values: BTreeMap::new() }
    }

    /// Adds a value for an allocator.
    pub fn add(&mut self, column: &'static str, figure: Figure) {
        if !self.names.contains(&figure.name) {
            self.names.push(figure.name.clone());
        }
        self.values.entry((figure.name, column)).or_default().push(figure.value);
    }

    fn median(&self, name: &str, column: &'static str) -> Option<f64> {
        self.values.get(&(name.into(), column)).map(|values| median(&mut values.clone()))
    }

    /// As a table.
    pub fn table(&self) -> String {
        let mut text = format!("{:44}", "");
        for column in &self.columns {
            let _ = write!(text, "{:>13}", if *column == "coreheap-portable" { "portable" } else { column });
        }
        text.push('\n');
        for name in &self.names {
            let _ = write!(text, "  {name:42}");
            for column in &self.columns {
                let _ = match self.median(name, column) {
                    Some(value) if value < 10.0 => write!(text, "{value:13.3}"),
                    Some(value) => write!(text, "{value:13.1}"),
                    None => write!(text, "{:>13}", "-"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// The ratios to the reference, for those figures that it has.
    fn plot(&self, title: &str, path: &Path) -> io::Result<()> {
        let rows =
            self.names.iter().map(String::as_str).filter(|name| self.median(name, REFERENCE).is_some_and(|median| median > 0.0));
        let rows: Vec<&str> = rows.collect();
        let ratio =
            |row: usize, column: usize| Some(self.median(rows[row], self.columns[column])? / self.median(rows[row], REFERENCE)?);
        Picture { title, rows: rows.clone(), columns: &self.columns, ratio: &ratio }.save(path)
    }

    /// As CSV.
    pub fn csv(&self) -> String {
        let mut csv = String::from("figure,allocator,median,values\n");
        for ((name, column), values) in &self.values {
            let all: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
            let _ = writeln!(csv, "\"{name}\",{column},{:.4},{}", median(&mut values.clone()), all.join(" "));
        }
        csv
    }
}

/// The cases of a group that are wanted.
pub fn cases(arguments: &Arguments, group: Group) -> Vec<&'static Case> {
    let cases = if group == Group::Memory { memory::CASES } else { latency::CASES };
    cases.iter().filter(|case| arguments.wants(group, case.name)).collect()
}

/// Measures and reports a group, if any of it is wanted.
pub fn run(arguments: &Arguments, group: Group) -> io::Result<()> {
    let cases = cases(arguments, group);
    if cases.is_empty() {
        return Ok(());
    }
    let columns: Vec<&str> = PEERS.iter().map(|peer| peer.name).filter(|name| arguments.has_column(name)).collect();
    let mut figures = Figures::new(columns.clone());
    let mut failures = String::new();
    let rounds = if group == Group::Memory { arguments.rounds.min(MEMORY_ROUNDS) } else { arguments.rounds };
    for round in 0..rounds {
        for case in &cases {
            for turn in 0..columns.len() {
                let column = columns[(round + turn) % columns.len()];
                eprint!("\rround {} of {rounds}: {:15} {column:20}", round + 1, case.name);
                let env = PEERS.iter().find(|peer| peer.name == column).map_or(&[][..], |peer| peer.env);
                warm(arguments.warm);
                match own_child(&["figures", case.name, column], env) {
                    Ok(lines) => lines.lines().filter_map(Figure::from_line).for_each(|figure| figures.add(column, figure)),
                    Err(error) => drop(writeln!(failures, "failed: {} on {column}: {error}", case.name)),
                }
            }
        }
    }
    eprint!("\r{:60}\r", "");
    println!("{}; medians of {rounds}; less is better, but for efficiency\n", group.title());
    print!("{}\n{failures}", figures.table());
    cases.iter().for_each(|case| println!("{:16}{}", case.name, case.shows));
    if group == Group::Latency {
        println!(
            "The clock's own time is subtracted. The maximum is that of the machine: other programs and the host interrupt."
        );
    }
    println!();
    let folder = arguments.out_folder()?;
    figures.plot(group.title(), &folder.join(format!("{}.svg", group.title())))?;
    std::fs::write(folder.join(format!("{}.csv", group.title())), figures.csv())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_medians() {
        let mut figures = Figures::new(vec!["a", "b"]);
        [3.0, 1.0, 2.0].into_iter().for_each(|value| figures.add("a", Figure::new("x, ns", value)));
        let table = figures.table();
        assert!(table.contains("2.000") && table.contains(" -"), "{table}");
        assert!(figures.csv().contains("\"x, ns\",a,2.0000,3.0000 1.0000 2.0000"));
    }
}
