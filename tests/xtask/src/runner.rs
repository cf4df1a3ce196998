//! Runs steps and prints how they went.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::rig::Missing;
use crate::shell::{command, exit_code, hand_over, root};
use crate::steps::{self, Proof, Step};

/// How long a step may take in CI: a test that hangs is to fail under its name, before CI gives up on everything.
const LIMIT: Duration = Duration::from_secs(30 * 60);

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Report {
    step: &'static Step,
    outcome: Outcome,
    /// How many tests passed.
    tests: usize,
    time: Duration,
}

/// Prints the steps.
pub fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for step in steps::all() {
        let settings: String = step.env.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        writeln!(out, "{:22}{}\n{:24}{settings}{}", step.name, step.shows, "", step.command)?;
        if !step.needs.is_empty() {
            let needs: Vec<String> = step.needs.iter().map(|need| need.to_string()).collect();
            writeln!(out, "{:24}needs {}", "", needs.join(", "))?;
        }
    }
    Ok(())
}

/// Runs an example: one for another machine, which is the step of that name, or one of the root package.
pub fn example(name: String, arguments: &[String]) -> io::Result<ExitCode> {
    let Some(step) = steps::examples().find(|step| step.name == name) else {
        return hand_over("cargo run --release --example", &[name, "--".into()], arguments);
    };
    for need in step.needs {
        need.provide().map_err(|(Missing::NotInstalled(reason) | Missing::NotHere(reason))| io::Error::other(reason))?;
    }
    Ok(exit_code(command_of(step).arg("--").args(arguments).status()?))
}

/// Runs the named steps, or all, and prints a table and a closing line.
pub fn test(names: &[String], verbose: bool) -> io::Result<ExitCode> {
    if let Some(unknown) = names.iter().find(|name| steps::all().all(|step| step.name != **name)) {
        return Err(io::Error::other(format!("there is no step `{unknown}`; `cargo xtask test --list` names them")));
    }
    let steps: Vec<&Step> = steps::all().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)).collect();
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let start = Instant::now();
    let mut reports = Vec::new();
    for group in steps.chunk_by(|_, next| next.beside) {
        for (index, step) in group.iter().enumerate() {
            println!("[{:2}/{}] {}: {}", reports.len() + index + 1, steps.len(), step.name, step.shows);
        }
        reports.extend(thread::scope(|scope| {
            let runs: Vec<_> = group.iter().map(|step| scope.spawn(|| run(step, in_ci, verbose))).collect();
            runs.into_iter().map(|run| run.join().expect("a step does not panic")).collect::<io::Result<Vec<Report>>>()
        })?);
    }
    print_table(&reports, start.elapsed());
    let count = |is_wanted: fn(&Outcome) -> bool| reports.iter().filter(|report| is_wanted(&report.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let skipped_words = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{} passed, {failed} failed{skipped_words}", reports.len() - failed - skipped);
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn run(step: &'static Step, in_ci: bool, verbose: bool) -> io::Result<Report> {
    let start = Instant::now();
    let done = |outcome, tests| Ok(Report { step, outcome, tests, time: start.elapsed() });
    for need in step.needs {
        match need.provide() {
            Ok(()) => {}
            Err(Missing::NotInstalled(reason)) if in_ci => return done(Outcome::Failed(reason), 0),
            Err(Missing::NotInstalled(reason) | Missing::NotHere(reason)) => return done(Outcome::Skipped(reason), 0),
        }
    }
    let mut command = command_of(step);
    if in_ci {
        // Nothing is built a second time there.
        command.env("CARGO_INCREMENTAL", "0");
    }
    let (status, output) = match watch(command, in_ci.then_some(LIMIT), verbose) {
        Ok(end) => end,
        Err(error) => return done(Outcome::Failed(format!("cannot run `{}`: {error}", step.command)), 0),
    };
    let tests = passed_tests(&output);
    let reason = match status {
        None => format!("had not ended after {} minutes", LIMIT.as_secs() / 60),
        Some(status) if !status.success() => status.to_string(),
        Some(_) => match step.proof {
            Proof::Tests if tests == 0 => "ran no test".to_string(),
            Proof::Words(words) if !output.contains(words) => format!("did not say `{words}`"),
            _ => return done(Outcome::Passed, tests),
        },
    };
    if !verbose {
        print!("{output}");
    }
    println!("FAILED: {} {reason}", step.name);
    done(Outcome::Failed(reason), tests)
}

fn command_of(step: &Step) -> Command {
    let mut command = command(step.command);
    command.current_dir(root().join(step.folder));
    command.envs(step.env.iter().copied());
    command
}

/// Runs a command to its end and collects what it prints. No status: it was ended, because it took longer than the limit.
fn watch(mut command: Command, limit: Option<Duration>, verbose: bool) -> io::Result<(Option<ExitStatus>, String)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    #[cfg(unix)]
    if limit.is_some() {
        // A group of its own can be ended with all that cargo started; on a terminal it would not hear Ctrl-C.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let mut child = command.spawn()?;
    // It holds the writing end, and reading goes on until nobody does.
    drop(command);
    let (ended, end) = mpsc::channel::<()>();
    let group = child.id();
    let watchdog = limit.map(|limit| {
        thread::spawn(move || {
            let is_late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
            }
            is_late
        })
    });
    let mut output = String::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if verbose {
            print!("{text}");
        }
        output.push_str(&text);
        line.clear();
    }
    let status = child.wait()?;
    drop(ended);
    let is_late = watchdog.is_some_and(|thread| thread.join().unwrap_or(false));
    Ok(((!is_late).then_some(status), output))
}

/// How many tests passed, from the closing lines of test binaries: `test result: ok. 12 passed; 0 failed; …`.
///
/// A test may run its binary again and let it print: the last line of each binary counts. Documentation tests have several.
fn passed_tests(output: &str) -> usize {
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

fn print_table(reports: &[Report], total: Duration) {
    println!("\n{:22}{:8} {:>6} {:>9}", "step", "result", "tests", "seconds");
    for report in reports {
        let (result, reason) = match &report.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
        };
        let tests = if report.tests > 0 { report.tests.to_string() } else { String::new() };
        let row = format!("{:22}{result:8} {tests:>6} {:>9.1}  {reason}", report.step.name, report.time.as_secs_f64());
        println!("{}", row.trim_end());
    }
    println!("{:22}{:8} {:>6} {:>9.1}\n", "all", "", "", total.as_secs_f64());
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

    #[cfg(unix)]
    #[test]
    fn what_hangs_is_ended_with_all_it_started() {
        let mut hanging = Command::new("sh");
        hanging.args(["-c", "echo before; sleep 600; echo after"]);
        let (status, output) = watch(hanging, Some(Duration::from_millis(300)), false).expect("sh can be run");
        assert!(status.is_none());
        assert_eq!(output, "before\n");
    }

    #[test]
    fn step_names_are_unique() {
        for (index, step) in steps::all().enumerate() {
            assert!(steps::all().take(index).all(|earlier| earlier.name != step.name), "{} is there twice", step.name);
        }
    }
}
