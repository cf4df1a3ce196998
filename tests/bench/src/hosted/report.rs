//! Medians, ratios and means, as tables and CSV.

use std::fmt::Write;

use coreheap_bench::numbers::{geometric_mean, median};
use coreheap_bench::peers::REFERENCE;

use crate::arguments::Group;
use crate::plan::Plan;
use coreheap_bench::process::Sample;

/// Everything that was measured.
pub struct Results {
    /// Rows and columns.
    pub plan: Plan,
    /// `samples[row][column]` has one for each round that did not fail.
    pub samples: Vec<Vec<Vec<Sample>>>,
    /// Runs that failed, in words.
    pub failures: Vec<String>,
}

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// User and system time.
    Cpu,
    /// Elapsed time.
    Wall,
    /// The most memory that was resident at a time.
    Peak,
}

impl Measure {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Measure::Cpu => "time: CPU time of all threads, user and system",
            Measure::Wall => "time: elapsed",
            Measure::Peak => "peak RSS",
        }
    }

    fn unit(self) -> &'static str {
        if self == Measure::Peak { "MiB" } else { "ms" }
    }

    /// The value in [`unit`](Self::unit).
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Measure::Cpu => sample.cpu_seconds * 1e3,
            Measure::Wall => sample.wall_seconds * 1e3,
            Measure::Peak => sample.peak_kib as f64 / 1024.0,
        }
    }
}

impl Results {
    fn reference(&self) -> usize {
        self.plan.columns.iter().position(|name| *name == REFERENCE).expect("a plan has the reference")
    }

    /// The median of a cell, if there is a value.
    pub fn median(&self, measure: Measure, row: usize, column: usize) -> Option<f64> {
        let mut values: Vec<f64> = self.samples[row][column].iter().map(|sample| measure.of(sample)).collect();
        (!values.is_empty()).then(|| median(&mut values))
    }

    /// A cell's median as a multiple of the reference's.
    pub fn ratio(&self, measure: Measure, row: usize, column: usize) -> Option<f64> {
        Some(self.median(measure, row, column)? / self.median(measure, row, self.reference())?)
    }

    /// How far apart the values of a row are, in percent of their median: the worst of coreheap and the reference.
    fn spread(&self, measure: Measure, row: usize) -> f64 {
        let spread = |column: usize| {
            let values = self.samples[row][column].iter().map(|sample| measure.of(sample));
            let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
            self.median(measure, row, column).map_or(0.0, |median| 100.0 * (most - least) / median)
        };
        spread(0).max(spread(self.reference()))
    }

    /// The geometric mean of a column's ratios, over the rows that have one.
    fn mean(&self, measure: Measure, column: usize, group: Option<Group>) -> Option<f64> {
        let rows = self.plan.rows.iter().enumerate().filter(|(_, row)| group.is_none_or(|group| row.group == group));
        let ratios: Vec<f64> = rows.filter_map(|(row, _)| self.ratio(measure, row, column)).collect();
        (!ratios.is_empty()).then(|| geometric_mean(&ratios))
    }
}

/// A table of ratios, group by group.
pub fn table(results: &Results, measure: Measure) -> String {
    let mut text = String::new();
    let reference = results.reference();
    let measured = |column: usize| results.samples.iter().any(|row| !row[column].is_empty());
    let columns: Vec<usize> = (0..results.plan.columns.len()).filter(|&column| column != reference && measured(column)).collect();
    let rounds = results.samples.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let _ = writeln!(text, "{}; medians of {rounds}, ratios to mimalloc's; less is better\n", measure.title());
    let _ = write!(text, "{:22}{:>9} {}{:>8}", "", "mimalloc", measure.unit(), "spread");
    for &column in &columns {
        let _ = write!(text, "{:>13}", short(results.plan.columns[column]));
    }
    text.push('\n');
    let line = |text: &mut String, name: &str, start: String, ratio: &dyn Fn(usize) -> Option<f64>| {
        let _ = write!(text, "{name:22}{start:20}");
        for &column in &columns {
            let _ = match ratio(column) {
                Some(ratio) => write!(text, "{ratio:13.2}"),
                None => write!(text, "{:>13}", "-"),
            };
        }
        text.push('\n');
    };
    let mut groups: Vec<Group> = results.plan.rows.iter().map(|row| row.group).collect();
    groups.dedup();
    for &group in &groups {
        let _ = writeln!(text, "{}", group.title());
        for (place, row) in results.plan.rows.iter().enumerate().filter(|(_, row)| row.group == group) {
            let value = results.median(measure, place, reference).map_or("-".into(), |value| format!("{value:.1}"));
            let start = format!("{value:>11}{:>7.0} %", results.spread(measure, place));
            line(&mut text, &format!("  {}", row.name), start, &|column| results.ratio(measure, place, column));
        }
        line(&mut text, "  geometric mean", String::new(), &|column| results.mean(measure, column, Some(group)));
    }
    if groups.len() > 1 {
        line(&mut text, "all: geometric mean", String::new(), &|column| results.mean(measure, column, None));
    }
    text
}

/// Names of columns are 12 letters at most.
fn short(name: &str) -> &str {
    if name == "coreheap-portable" { "portable" } else { name }
}

/// Where coreheap, the first column, is behind the reference; and what failed.
pub fn losses(results: &Results, time: Measure) -> String {
    let mut text = String::new();
    for measure in [time, Measure::Peak] {
        let mut rows: Vec<(f64, &str)> = (results.plan.rows.iter().enumerate())
            .filter_map(|(place, row)| Some((results.ratio(measure, place, 0)?, row.name.as_str())))
            .filter(|(ratio, _)| *ratio > 1.0)
            .collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let rows: Vec<String> = rows.iter().map(|(ratio, name)| format!("{name} {ratio:.2}")).collect();
        let rows = if rows.is_empty() { "nowhere".into() } else { rows.join(", ") };
        let _ = writeln!(text, "{} above mimalloc's, {}: {rows}", results.plan.columns[0], measure.title());
    }
    for note in &results.plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for failure in &results.failures {
        let _ = writeln!(text, "failed: {failure}");
    }
    text
}

/// Every run.
pub fn runs_csv(results: &Results) -> String {
    let mut csv = String::from("group,row,allocator,round,cpu_ms,wall_ms,peak_rss_kib,operations\n");
    for (row, samples) in results.plan.rows.iter().zip(&results.samples) {
        for (column, samples) in results.plan.columns.iter().zip(samples) {
            for (round, sample) in samples.iter().enumerate() {
                let (cpu, wall) = (Measure::Cpu.of(sample), Measure::Wall.of(sample));
                let (peak, operations, group) = (sample.peak_kib, sample.operations, row.group.title());
                let _ = writeln!(csv, "{group},{},{column},{round},{cpu:.3},{wall:.3},{peak},{operations}", row.name);
            }
        }
    }
    csv
}

/// Medians and ratios.
pub fn summary_csv(results: &Results, time: Measure) -> String {
    let mut csv = String::from("group,row,allocator,time_ms,time_ratio,ns_per_operation,peak_rss_mib,peak_rss_ratio\n");
    for (place, row) in results.plan.rows.iter().enumerate() {
        for (column, name) in results.plan.columns.iter().enumerate() {
            let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
            let milliseconds = results.median(time, place, column);
            let operations = results.samples[place][column].first().map(|sample| sample.operations as f64);
            let each = milliseconds.zip(operations).filter(|(_, count)| *count > 0.0).map(|(time, count)| time * 1e6 / count);
            let values = [
                milliseconds,
                results.ratio(time, place, column),
                each,
                results.median(Measure::Peak, place, column),
                results.ratio(Measure::Peak, place, column),
            ];
            let _ = writeln!(csv, "{},{},{name},{}", row.group.title(), row.name, values.map(number).join(","));
        }
    }
    csv
}
