//! Forks, loaded copies, threads, filters of system calls and ends of processes under load: `processes.c`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Ended, KINDS, compile, folder, library, preloaded, run};

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("processes.c", "processes", &["-ldl"]))
}

fn run_case(case: &[&str]) {
    for kind in KINDS {
        run(preloaded(program(), kind).args(case)).well();
    }
}

/// Runs a case of a program that has the library in it.
fn run_linked(name: &str, arguments: &[&str], case: &[&str]) {
    let archive = library().archive.to_str().expect("a path in UTF-8");
    let program = compile("processes.c", name, &[&[archive], arguments].concat());
    for kind in KINDS {
        run(Command::new(&program).env("COREHEAP_CORES", kind).args(case)).well();
    }
}

#[test]
fn forks_of_a_process_with_busy_threads() {
    run_case(&["forks"]);
}

#[test]
fn forks_with_handlers_that_allocate() {
    run_case(&["forks-with-handlers"]);
    run_linked("processes-before", &["-DBEFORE", "-ldl"], &["forks-with-handlers"]);
    run_linked("processes-before-static", &["-DBEFORE", "-static"], &["forks-with-handlers"]);
}

#[test]
fn other_programs_are_started() {
    run_case(&["spawns"]);
}

#[test]
fn children_of_vfork_allocate_and_free() {
    run_case(&["vforks"]);
}

/// `shut_in.c`.
#[test]
fn a_program_that_shuts_itself_in_is_not_killed() {
    let program = compile("shut_in.c", "shut_in", &["-pthread"]);
    for kind in KINDS {
        run(&mut preloaded(&program, kind)).well();
    }
}

/// `addresses.c`.
#[test]
fn a_program_has_addresses_for_threads_after_it_used_up_all() {
    let program = compile("addresses.c", "addresses", &[]);
    for kind in KINDS {
        let mut limited = preloaded("sh", kind);
        run(limited.args(["-c", "ulimit -v 131072 && exec \"$0\""]).arg(&program)).well();
    }
}

#[test]
fn vfork_is_refused() {
    run_case(&["no vfork"]);
}

#[test]
fn a_second_copy_of_the_library_comes_and_stays() {
    let copy = folder().join("libcopy.so");
    std::fs::copy(&library().shared, &copy).expect("a copy");
    run_case(&["copies", copy.to_str().expect("a path in UTF-8")]);
}

#[test]
fn the_first_allocation_is_inside_pthread_atfork() {
    run_case(&["handlers"]);
}

#[test]
fn a_cancelled_thread_allocates_for_the_first_time() {
    let copy = folder().join("libcancelled.so");
    std::fs::copy(&library().shared, &copy).expect("a copy");
    run_case(&["cancelled"]);
    run_case(&["cancelled", copy.to_str().expect("a path in UTF-8")]);
}

#[test]
fn threads_and_processes_end() {
    run_case(&["ends"]);
}

/// A debug build ends the process and says why; a release build ignores it.
fn run_misuse(case: &str, words: &str) {
    let Ended { status, output, errors } = run(preloaded(program(), "offered").arg(case));
    if cfg!(debug_assertions) {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(6), "{status}, {output}");
        assert!(errors.contains(words), "{errors}");
    } else {
        assert!(status.success() && output.trim() == "ignored", "{status}, {output}, {errors}");
    }
}

#[test]
fn a_block_is_freed_twice() {
    run_misuse("twice", "double free");
}

#[test]
fn a_foreign_pointer_is_freed() {
    run_misuse("foreign", "is not a block of this heap");
}
