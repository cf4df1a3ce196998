//! The library in charge of programs: preloaded, and linked.
//!
//! Where cargo puts the library when it runs tests, and whether it builds it for them at all, is not said anywhere. So the tests have
//! the cargo that runs them build it, in their own profile and in a target folder of their own ([`support::library`]).

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod fast_paths;
mod functions;
mod loading;
mod processes;
mod programs;
mod purger;
mod support;
