//! What runs the modules.

use std::io;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use coreheap_bench::command::lines;

use crate::Peer;

/// Both are V8, in versions that are years apart.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Node,
    Chromium,
}

/// What is to be measured.
pub struct Plan<'a> {
    pub works: &'a [usize],
    pub peers: &'a [Peer],
    pub rounds: usize,
    /// Runs of each work in a round.
    pub runs: usize,
}

/// What a module was seen to do.
#[derive(Debug, PartialEq)]
pub struct Measured {
    /// The allocator's name.
    pub name: String,
    /// The work's number.
    pub work: usize,
    pub values: Vec<f64>,
}

impl Engine {
    /// What it is called, and its version.
    pub fn title(self) -> io::Result<String> {
        let (name, program) = match self {
            Engine::Node => ("Node ", "node"),
            Engine::Chromium => ("", "chromium"),
        };
        let mut command = Command::new(program);
        let version = lines(command.arg("--version"))?;
        let words = version.first().map_or("", String::as_str);
        Ok(format!("{name}{}", words.split(" built on").next().unwrap_or(words)))
    }

    /// Has the modules of a folder measured by the function of this name in `runner/measure.mjs`.
    pub fn measure(self, function: &str, folder: &Path, plan: &Plan) -> io::Result<Vec<Measured>> {
        let script = match self {
            Engine::Node => "in-node.mjs",
            Engine::Chromium => "in-chromium.mjs",
        };
        let works: Vec<String> = plan.works.iter().map(usize::to_string).collect();
        let names: Vec<&str> = plan.peers.iter().map(|peer| peer.name).collect();
        let Plan { rounds, runs, .. } = plan;
        let query = format!("works={}&allocators={}&rounds={rounds}&runs={runs}", works.join(","), names.join(","));
        let mut node = Command::new("node");
        // V8's first compiler is fast and its code is slow; when the second one is done nobody knows, least of all on a busy machine.
        node.arg("--no-liftoff");
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("runner").join(script)).arg(function).arg(folder).arg(query);
        lines(&mut node)?.iter().map(|line| read(line)).collect()
    }
}

/// Reads a line: the allocator's name, the work's number, and values. Other lines are errors, in words.
fn read(line: &str) -> io::Result<Measured> {
    let measured = || {
        let mut words = line.split(' ');
        let (name, work) = (words.next()?.into(), words.next()?.parse().ok()?);
        let values = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Measured { name, work, values })
    };
    measured().ok_or_else(|| io::Error::other(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_measurements_or_errors() {
        let measured = Measured { name: "talc".into(), work: 2, values: vec![7.0, 21.5] };
        assert_eq!(read("talc 2 7 21.5").expect("it is complete"), measured);
        for line in ["talc", "talc 2 seven", "error RuntimeError: unreachable"] {
            assert_eq!(read(line).expect_err("it is none").to_string(), line);
        }
    }
}
