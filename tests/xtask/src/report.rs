//! How steps went, and the tables that say so.

use std::time::Duration;

use crate::steps::Step;

/// How many of the longest steps are named at the end.
const LONGEST: usize = 10;

/// How a step ended, with the reason.
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// What is known of a step that was run.
pub struct Report {
    pub step: &'static Step,
    pub outcome: Outcome,
    /// How many tests passed.
    pub tests: usize,
    /// From its beginning to its end, what it needed included.
    pub time: Duration,
    /// The processor time of its command, where the system tells.
    pub processor: Option<Duration>,
}

impl Report {
    /// `name  passed  12  3.4  5.6  reason`.
    pub fn row(&self) -> String {
        let (result, reason) = match &self.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
        };
        let tests = if self.tests > 0 { self.tests.to_string() } else { String::new() };
        let row = format!(
            "{:22}{result:8} {tests:>6} {:>9.1} {:>9}  {reason}",
            self.step.name,
            self.time.as_secs_f64(),
            seconds(self.processor)
        );
        row.trim_end().to_string()
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or(String::new(), |time| format!("{:.1}", time.as_secs_f64()))
}

/// Prints all steps, those that took longest, and the closing line; returns whether none failed.
pub fn print(reports: &[Report], total: Duration) -> bool {
    println!("\n{:22}{:8} {:>6} {:>9} {:>9}", "step", "result", "tests", "seconds", "processor");
    reports.iter().for_each(|report| println!("{}", report.row()));
    let processor: Duration = reports.iter().filter_map(|report| report.processor).sum();
    println!("{:22}{:8} {:>6} {:>9.1} {:>9.1}\n", "all", "", "", total.as_secs_f64(), processor.as_secs_f64());

    let mut longest: Vec<&Report> = reports.iter().collect();
    longest.sort_by_key(|report| std::cmp::Reverse(report.time));
    longest.truncate(LONGEST);
    if longest.len() > 1 {
        let words = longest.iter().map(|report| format!("{} {:.0} s", report.step.name, report.time.as_secs_f64()));
        println!("longest: {}\n", words.collect::<Vec<_>>().join(", "));
    }

    let count = |is_wanted: fn(&Outcome) -> bool| reports.iter().filter(|report| is_wanted(&report.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let skipped_words = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{} passed, {failed} failed{skipped_words}", reports.len() - failed - skipped);
    failed == 0
}

/// How many tests passed, from the closing lines of test binaries: `test result: ok. 12 passed; 0 failed; …`.
///
/// A test may run its binary again and let it print: the last line of each binary counts. Documentation tests have several.
pub fn passed_tests(output: &str) -> usize {
    let mut counts = Vec::new();
    let mut is_binary = false;
    for line in output.lines() {
        let line = line.trim_start();
        if line.starts_with("Running ") || line.starts_with("Doc-tests ") {
            is_binary = line.starts_with("Running ");
            counts.push(0);
        } else if let Some((_, passed)) = line.split_once("test result: ok. ")
            && let Some(count) = passed.split(' ').next().and_then(|count| count.parse::<usize>().ok())
            && let Some(last) = counts.last_mut()
        {
            *last = if is_binary { count } else { *last + count };
        }
    }
    counts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tests_from_closing_lines() {
        let binaries = "     Running unittests src/lib.rs\nrunning 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\n\
            Running tests/a.rs\ntest result: ok. 1 passed; 0 failed\ntest result: ok. 11 passed; 0 failed\n";
        assert_eq!(passed_tests(binaries), 13);
        let documents = "   Doc-tests a\ntest result: ok. 4 passed; 0 failed\n\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(passed_tests(documents), 5);
        assert_eq!(passed_tests("Running a\ntest result: FAILED. 3 passed; 1 failed"), 0);
    }
}
