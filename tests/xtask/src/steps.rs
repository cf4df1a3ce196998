//! The steps of `cargo xtask test`, in the order in which they run: first those on this machine ([`host`]), then those for Windows
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
pub use unix::BENCH_INSTRUCTIONS;

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
    /// Whether it runs at the same time as the step before: each leaves a processor idle for a good part of its time.
    pub beside: bool,
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
    Step { name: "", shows: "", needs: &[], env: &[], command: "", folder: "", proof: Proof::Status, beside: false };

/// All steps.
pub fn all() -> impl Iterator<Item = &'static Step> {
    host::STEPS.iter().chain(windows::STEPS).chain(unix::STEPS).chain(machines::STEPS)
}

/// The examples that are packages of their own: steps, and those that nobody but the user ends.
pub fn examples() -> impl Iterator<Item = &'static Step> {
    all().filter(|step| step.folder.starts_with("examples")).chain([&machines::WASM_PAGE])
}
