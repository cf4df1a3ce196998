//! The thread that gives idle memory back: `purger.c`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{KINDS, compile, library, preloaded, run};

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("purger.c", "purger", &["-D_GNU_SOURCE"]))
}

fn run_case(case: &str) {
    for kind in KINDS {
        run(preloaded(program(), kind).arg(case)).well();
    }
}

#[test]
fn a_process_of_one_thread_stays_one() {
    run_case("one thread");
}

#[test]
fn a_process_of_several_threads_gives_memory_back_without_a_call() {
    run_case("several threads");
    let archive = library().archive.to_str().expect("a path in UTF-8");
    let linked = compile("purger.c", "purger-static", &["-D_GNU_SOURCE", archive, "-static"]);
    run(Command::new(linked).arg("several threads")).well();
}

#[test]
fn it_is_switched_off_from_outside_and_by_the_program() {
    for kind in KINDS {
        run(preloaded(program(), kind).env("COREHEAP_PURGER", "off").arg("none")).well();
    }
    run_case("on and off");
}

#[test]
fn signals_are_for_the_programs_own_threads() {
    run_case("signals");
}

#[test]
fn the_child_of_a_fork_starts_its_own() {
    run_case("forks");
}
