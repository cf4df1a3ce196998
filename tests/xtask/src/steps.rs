//! The steps of `cargo xtask test`, in the order in which they are preferred: first those on this machine ([`host`]), then those for Windows
//! ([`windows`]) and for other hosts ([`unix`]), then those on other machines, in emulators ([`machines`]).
//!
//! A command is one line of words between spaces; `{target}` is cargo's target folder. Steps share it where compiler and flags are
//! the same, so that little is built twice.

mod host;
mod machines;
mod unix;
mod windows;

use crate::rig::Need;

pub use machines::{BENCH_BARE, BENCH_WASM};
pub use unix::{BENCH_INSTRUCTIONS, BENCH_MUSL};

/// One thing that is checked.
pub struct Step {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub shows: &'static str,
    /// What must be there before it can run.
    pub needs: &'static [Need],
    /// Environment variables for the command.
    pub env: &'static [(&'static str, &'static str)],
    /// What is run.
    pub command: &'static str,
    /// Where, from the workspace's root: examples for other machines are packages that say inside how to run them.
    pub folder: &'static str,
    /// What shows that it did what it is for.
    pub proof: Proof,
    /// How many minutes it may take in CI: a test that hangs is to fail under its name, before CI gives up on everything.
    pub minutes: u64,
    /// When it is run without being named.
    pub run: Run,
}

impl Step {
    /// The target folder that it locks while it builds, as far as it is told by name.
    pub fn builds_in(&self) -> &'static str {
        let mut words = self.command.split(' ');
        match words.find(|word| matches!(*word, "--target-dir" | "miri")) {
            Some("miri") => "miri",
            Some(_) => words.next().unwrap_or_default(),
            None => "",
        }
    }
}

/// Which runs a step is a part of.
#[derive(Clone, Copy)]
pub enum Run {
    /// `cargo xtask test --all`.
    All,
    /// That and `cargo xtask test`.
    Quick,
}

impl Run {
    /// Whether `cargo xtask test` runs it.
    pub fn is_quick(self) -> bool {
        matches!(self, Run::Quick)
    }

    /// For the list.
    pub fn words(self) -> &'static str {
        match self {
            Run::All => "with --all",
            Run::Quick => "in the quick set, and with --all",
        }
    }
}

/// What shows, beside its exit status, that a step did what it is for.
pub enum Proof {
    /// Nothing more.
    Status,
    /// It ran a test.
    Tests,
    /// It said this: where an emulator that was killed looks like one that has ended.
    Words(&'static str),
}

const LINUX: Need = Need::Host("linux", "x86_64");
const THUMB: &str = "thumbv7em-none-eabihf";
const THUMB_V6: &str = "thumbv6m-none-eabi";

/// What most steps have in common.
const STEP: Step =
    Step { name: "", shows: "", needs: &[], env: &[], command: "", folder: "", proof: Proof::Status, minutes: 20, run: Run::All };

/// All steps.
pub fn all() -> impl Iterator<Item = &'static Step> {
    host::STEPS.iter().chain(windows::STEPS).chain(unix::STEPS).chain(machines::STEPS)
}

/// The examples that are packages of their own: steps, and those that run until the user stops them.
pub fn examples() -> impl Iterator<Item = &'static Step> {
    all().filter(|step| step.folder.starts_with("examples")).chain([&machines::WASM_PAGE])
}
