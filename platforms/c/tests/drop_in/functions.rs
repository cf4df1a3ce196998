//! What each function and operator promises: `functions.c` and `operators.cpp`, with the library preloaded, and linked in every way.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::{KINDS, compile, is_installed, library, preloaded, run};

/// Runs a program that has the library in it.
fn run_linked(file: &str, name: &str, arguments: &[&str], words: &str) {
    let archive = library().archive.to_str().expect("a path in UTF-8");
    let program = compile(file, name, &[&[archive], arguments].concat());
    for kind in KINDS {
        assert_eq!(run(Command::new(&program).env("COREHEAP_CORES", kind)).well().trim(), words);
    }
}

fn run_preloaded(file: &str, name: &str, arguments: &[&str], words: &str) {
    let program = compile(file, name, arguments);
    for kind in KINDS {
        assert_eq!(run(&mut preloaded(&program, kind)).well().trim(), words);
    }
}

const FUNCTIONS: &str = "all functions as they should be";
const OPERATORS: &str = "all operators as they should be";
const OWN_OPERATORS: &str = "own operators as they should be";

#[test]
fn functions_of_a_preloaded_library() {
    run_preloaded("functions.c", "functions", &[], FUNCTIONS);
}

#[test]
fn functions_of_a_linked_library() {
    run_linked("functions.c", "functions-linked", &[], FUNCTIONS);
}

#[test]
fn functions_in_a_static_program() {
    run_linked("functions.c", "functions-static", &["-static"], FUNCTIONS);
}

#[test]
fn operators_of_a_preloaded_library() {
    if is_installed("c++") {
        run_preloaded("operators.cpp", "operators", &[], OPERATORS);
    }
}

#[test]
fn operators_of_a_linked_library() {
    if is_installed("c++") {
        run_linked("operators.cpp", "operators-linked", &[], OPERATORS);
    }
}

#[test]
fn operators_in_a_static_program() {
    if is_installed("c++") {
        // A weak reference takes nothing out of the C++ library's archive; a program that never throws this gets none.
        run_linked("operators.cpp", "operators-static", &["-static", "-Wl,-u,_ZSt17__throw_bad_allocv"], OPERATORS);
    }
}

#[test]
fn operators_of_the_program_go_first() {
    if is_installed("c++") {
        run_preloaded("operators.cpp", "own-operators", &["-DOWN_OPERATORS"], OWN_OPERATORS);
    }
}

#[test]
fn the_library_has_these_names_and_no_others() {
    if !is_installed("nm") {
        return;
    }
    let symbols = run(Command::new("nm").args(["-D", "--defined-only", "--format=just-symbols"]).arg(&library().shared)).well();
    let found: BTreeSet<_> = symbols.lines().collect();
    let c = "malloc free calloc realloc reallocarray aligned_alloc memalign posix_memalign valloc pvalloc malloc_usable_size malloc_trim \
             cfree free_sized free_aligned_sized";
    let size = if cfg!(target_pointer_width = "64") { 'm' } else { 'j' };
    let new = ["_Znw", "_Zna"].map(|name| ["", "St11align_val_t"].map(|rest| format!("{name}{size}{rest}")));
    let forms = ["", "#", "RKSt9nothrow_t", "St11align_val_t", "#St11align_val_t", "St11align_val_tRKSt9nothrow_t"];
    let delete = ["_ZdlPv", "_ZdaPv"].map(|name| forms.map(|rest| format!("{name}{rest}").replace('#', &size.to_string())));
    let operators: Vec<_> = new.into_iter().flatten().chain(delete.into_iter().flatten()).collect();
    let expected: BTreeSet<_> = c.split_whitespace().chain(operators.iter().map(String::as_str)).collect();
    assert_eq!(found, expected);
}
