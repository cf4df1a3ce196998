//! The thread that gives idle memory back: `purger.c`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{KINDS, compile, library, preloaded, run};

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("purger.c", "purger", &["-D_GNU_SOURCE"]))
}

/// Runs a case in a process that has asked for the thread.
fn run_case(case: &str) {
    for kind in KINDS {
        run(preloaded(program(), kind).env("COREHEAP_PURGER", "on").arg(case)).well();
    }
}

#[test]
fn memory_goes_back_without_a_call() {
    run_case("give back");
    let archive = library().archive.to_str().expect("a path in UTF-8");
    let linked = compile("purger.c", "purger-static", &["-D_GNU_SOURCE", archive, "-static"]);
    run(Command::new(linked).env("COREHEAP_PURGER", "on").arg("give back")).well();
}

#[test]
fn nobody_has_a_thread_who_did_not_ask_for_one() {
    for kind in KINDS {
        run(preloaded(program(), kind).arg("none")).well();
    }
}

#[test]
fn a_program_switches_it_on_and_off() {
    for kind in KINDS {
        run(preloaded(program(), kind).arg("on and off")).well();
    }
}

#[test]
fn a_process_whose_threads_have_ended_ends() {
    run_case("leave");
}

#[test]
fn signals_are_for_the_programs_own_threads() {
    run_case("signals");
}

#[test]
fn the_child_of_a_fork_may_start_its_own() {
    run_case("forks");
}
