//! What each function and operator promises: `functions.c` and `operators.cpp`, with the library preloaded, and linked in every way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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

const REPORTS: &str = "all reports as they should be";

#[test]
fn reports_of_a_preloaded_library() {
    run_preloaded("reports.c", "reports", &[], REPORTS);
}

#[test]
fn reports_of_a_linked_library() {
    run_linked("reports.c", "reports-linked", &[], REPORTS);
}

#[test]
fn reports_in_a_static_program() {
    run_linked("reports.c", "reports-static", &["-static"], REPORTS);
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

/// What `nm` says of a file's symbols, a line each.
fn symbols(arguments: &[&str], file: &Path) -> String {
    run(Command::new("nm").args(arguments).arg(file)).well()
}

#[test]
fn the_library_has_these_names_and_no_others() {
    if !is_installed("nm") {
        return;
    }
    let symbols = symbols(&["-D", "--defined-only", "--format=just-symbols"], &library().shared);
    let found: BTreeSet<_> = symbols.lines().collect();
    let c = "malloc free calloc realloc reallocarray aligned_alloc memalign posix_memalign valloc pvalloc malloc_usable_size malloc_trim \
             cfree free_sized free_aligned_sized mallinfo mallinfo2 mallopt malloc_stats malloc_info __libc_malloc __libc_calloc \
             __libc_realloc __libc_free __libc_memalign __libc_valloc __libc_pvalloc __libc_mallinfo __libc_mallopt coreheap_purger";
    // Where there may be restartable sequences, which a child of `vfork` must not use.
    let vfork =
        if cfg!(all(target_pointer_width = "64", any(target_arch = "x86_64", target_arch = "aarch64"))) { "vfork" } else { "" };
    let size = if cfg!(target_pointer_width = "64") { 'm' } else { 'j' };
    let new = ["_Znw", "_Zna"].map(|name| ["", "St11align_val_t"].map(|rest| format!("{name}{size}{rest}")));
    let forms = ["", "#", "RKSt9nothrow_t", "St11align_val_t", "#St11align_val_t", "St11align_val_tRKSt9nothrow_t"];
    let delete = ["_ZdlPv", "_ZdaPv"].map(|name| forms.map(|rest| format!("{name}{rest}").replace('#', &size.to_string())));
    let operators: Vec<_> = new.into_iter().flatten().chain(delete.into_iter().flatten()).collect();
    let expected: BTreeSet<_> =
        c.split_whitespace().chain(vfork.split_whitespace()).chain(operators.iter().map(String::as_str)).collect();
    assert_eq!(found, expected);
}

/// The C library's file of this name.
fn file_of_libc(name: &str) -> PathBuf {
    let path = run(Command::new("cc").arg(format!("-print-file-name={name}"))).well();
    PathBuf::from(path.trim())
}

#[test]
fn every_function_of_glibcs_allocator_is_here() {
    if !is_installed("nm") {
        return;
    }
    // Its object file as the archive has it, but for what only glibc itself may call: the shared library has no such symbols for others.
    let archive = symbols(&["--defined-only"], &file_of_libc("libc.a"));
    let allocator = archive.split("\n\n").find(|object| object.trim_start().starts_with("malloc.o:")).expect("the object file");
    let shared = symbols(&["-D", "--defined-only"], &file_of_libc("libc.so.6"));
    let versioned = shared.lines().filter_map(|line| line.split_once("@@")).filter(|(_, version)| *version != "GLIBC_PRIVATE");
    let for_programs: BTreeSet<_> = versioned.filter_map(|(line, _)| line.split_whitespace().last()).collect();
    let here = symbols(&["-D", "--defined-only", "--format=just-symbols"], &library().shared);
    let here: BTreeSet<_> = here.lines().collect();
    let mut count = 0;
    for line in allocator.lines() {
        if let [_, "T" | "W", name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && for_programs.contains(name)
        {
            count += 1;
            assert!(here.contains(name), "{name} brings glibc's allocator along");
        }
    }
    assert!(count > 15, "{count} names:\n{allocator}");
}
