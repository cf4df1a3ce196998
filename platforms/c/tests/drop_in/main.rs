//! The library in charge of programs: preloaded, and linked.
//!
//! The library cannot be linked to a test, and cargo does not build it for one. So the tests have the cargo that runs them build it as they
//! were built themselves, in a target folder of their own ([`support::library`]).

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod functions;
mod processes;
mod programs;
mod support;
