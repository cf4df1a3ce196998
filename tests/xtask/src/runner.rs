//! Chooses steps, runs each and judges it.

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::lanes::{self, Lanes};
use crate::process::{Ended, watch};
use crate::report::{self, Outcome, Report, passed_tests};
use crate::rig::Missing;
use crate::shell::{command, exit_code, hand_over, root};
use crate::steps::{self, Proof, Step};

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
        writeln!(out, "{:24}{}", "", step.run.words())?;
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

/// Runs the named steps, or all that CI runs, or the quick set, and prints tables and a closing line.
pub fn test(names: &[String], all: bool, verbose: bool) -> io::Result<ExitCode> {
    if let Some(unknown) = names.iter().find(|name| steps::all().all(|step| step.name != **name)) {
        return Err(io::Error::other(format!("there is no step `{unknown}`; `cargo xtask test --list` names them")));
    }
    let is_chosen = |step: &&Step| match names {
        [] if all => true,
        [] => step.run.is_quick(),
        names => names.iter().any(|name| name == step.name),
    };
    let steps: Vec<&Step> = steps::all().filter(is_chosen).collect();
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let lanes = if verbose { 1 } else { thread::available_parallelism().map_or(1, |count| count.get().min(LANES)) };
    let start = Instant::now();
    let reports = lanes::run(&steps, lanes, |step, lanes| run(step, lanes, in_ci, verbose))?;
    let is_well = report::print(&reports, start.elapsed());
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// At most so many steps run at the same time: each starts threads of its own, and some tests wait for time to pass.
const LANES: usize = 2;

fn run(step: &'static Step, lanes: &Lanes, in_ci: bool, verbose: bool) -> io::Result<Report> {
    let start = Instant::now();
    let done = |outcome, tests, processor| Ok(Report { step, outcome, tests, time: start.elapsed(), processor });
    for need in step.needs {
        match need.provide() {
            Ok(()) => {}
            Err(Missing::NotInstalled(reason)) if in_ci => return done(Outcome::Failed(reason), 0, None),
            Err(Missing::NotInstalled(reason) | Missing::NotHere(reason)) => return done(Outcome::Skipped(reason), 0, None),
        }
    }
    let mut command = command_of(step);
    if in_ci {
        // Nothing is built a second time there.
        command.env("CARGO_INCREMENTAL", "0");
    }
    let see = |line: &str| {
        if verbose {
            print!("{line}");
        }
        // So says cargo when it lets others build in the same folder.
        if line.trim_start().starts_with("Finished ") {
            lanes.has_built(step);
        }
    };
    let Ended { status, output, processor } = match watch(command, in_ci.then(|| Duration::from_secs(60 * step.minutes)), see) {
        Ok(end) => end,
        Err(error) => return done(Outcome::Failed(format!("cannot run `{}`: {error}", step.command)), 0, None),
    };
    let tests = passed_tests(&output);
    let reason = match status {
        None => format!("had not ended after {} minutes", step.minutes),
        Some(status) if !status.success() => status.to_string(),
        Some(_) => match step.proof {
            Proof::Tests if tests == 0 => "ran no test".to_string(),
            Proof::Words(words) if !output.contains(words) => format!("did not say `{words}`"),
            _ => return done(Outcome::Passed, tests, processor),
        },
    };
    if !verbose {
        // In one piece, which the lines of no other step come between.
        let mut out = io::stdout().lock();
        let _ = out.write_all(output.as_bytes());
    }
    println!("FAILED: {} {reason}", step.name);
    done(Outcome::Failed(reason), tests, processor)
}

fn command_of(step: &Step) -> Command {
    let mut command = command(step.command);
    command.current_dir(root().join(step.folder));
    command.envs(step.env.iter().copied());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_are_unique() {
        for (index, step) in steps::all().enumerate() {
            assert!(steps::all().take(index).all(|earlier| earlier.name != step.name), "{} is there twice", step.name);
        }
    }
}
