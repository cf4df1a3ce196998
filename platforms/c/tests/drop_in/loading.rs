//! Libraries that wait while they are loaded, and C++ libraries that come late: `loading.c` loads `waits.c` and `throws.cpp`.

use std::process::Command;

use crate::support::{KINDS, compile, folder, is_installed, library, preloaded, run};

const WAITS: [&str; 2] = ["waits", "allocated while loading"];

/// Compiles a library of this test's; returns its path.
fn compile_library(file: &str, name: &str, arguments: &[&str]) -> String {
    let path = compile(file, name, &[&["-shared", "-fPIC"], arguments].concat());
    path.into_os_string().into_string().expect("a path in UTF-8")
}

#[test]
fn a_constructor_of_a_loaded_library_waits_for_a_thread_that_allocates() {
    let program = compile("loading.c", "loading-waits", &["-ldl"]);
    let waits = compile_library("waits.c", "libwaits.so", &[]);
    for kind in KINDS {
        run(preloaded(&program, kind).arg(&waits).args(WAITS)).well();
    }
}

#[test]
fn a_constructor_of_a_linked_library_waits_for_a_thread_that_allocates() {
    let folder = folder().to_str().expect("a path in UTF-8");
    compile_library("waits.c", "libwaitslinked.so", &[]);
    let run_path = format!("-Wl,-rpath,{folder}");
    let program = compile("loading.c", "loading-linked", &["-DLINKED", "-L", folder, "-lwaitslinked", &run_path]);
    for kind in KINDS {
        run(preloaded(&program, kind).args(["", WAITS[0], WAITS[1]])).well();
    }
}

#[test]
fn a_loaded_library_has_a_heap_of_its_own_and_its_constructor_waits_for_the_first_use() {
    let program = compile("loading.c", "loading-own", &["-ldl"]);
    let archive = library().archive.to_str().expect("a path in UTF-8");
    let waits = compile_library("waits.c", "libwaits-own.so", &[archive, "-Wl,-Bsymbolic"]);
    for kind in KINDS {
        run(Command::new(&program).arg(&waits).args(WAITS).env("COREHEAP_CORES", kind)).well();
    }
}

#[test]
fn a_cpp_library_loaded_late_catches_bad_alloc() {
    if is_installed("c++") {
        let program = compile("loading.c", "loading-throws", &["-ldl"]);
        for (name, arguments) in [("libthrows.so", &[][..]), ("libthrows-static.so", &["-static-libstdc++"])] {
            let throws = compile_library("throws.cpp", name, arguments);
            run(preloaded(&program, "offered").arg(&throws).args(["is_thrown", "thrown and caught"])).well();
        }
    }
}
