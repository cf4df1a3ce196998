//! The steps of `cargo xtask test`, in the order in which they run.
//!
//! A command is one line of words between spaces; `{target}` is cargo's target folder. Folders are shared where the compiler
//! and its flags are the same, so that nothing is built twice.

use crate::rig::Need;
use crate::rig::Need::*;

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
    /// Whether the command's output must tell of at least one test that passed.
    pub tests: bool,
}
