//! What is checked on this machine.

use super::{LINUX, Proof::Tests, Run, STEP, Step, THUMB, THUMB_V6};
use crate::rig::Need::{self, Component, Nightly, Prepared, Program, Target};

const I686: &str = "i686-unknown-linux-gnu";
const I686_MUSL: &str = "i686-unknown-linux-musl";
const MUSL: &str = "x86_64-unknown-linux-musl";
/// Three quarters of the time that the optimised tests take to build is link-time optimisation; the code that is tested is
/// generic, and is optimised as well without, and on all cores.
const QUICK_RELEASE: &[(&str, &str)] = &[("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];
/// The core's own tests take a minute to optimise and seconds to run as they are.
const UNOPTIMISED: (&str, &str) = ("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
/// What the tests of the C library compile with, and the programs that they run with it. Outside of CI they skip what is not there.
const C_PROGRAMS: &[Need] = &[
    LINUX,
    Program("c++", "g++"),
    Program("g++", "g++"),
    Program("nm", "binutils"),
    Program("bash", "bash"),
    Program("gawk", "gawk"),
    Program("git", "git"),
    Program("perl", "perl"),
    Program("python3", "python3"),
    Program("sqlite3", "sqlite3"),
    Program("valgrind", "valgrind"),
];
/// The same packages as in `debug`, so that nothing is built again.
const HOST_AGAIN: &str = "cargo test -p coreheap-tests -p coreheap-bare -p coreheap-os -p coreheap-wasm --lib --test conformance --test host --no-fail-fast";
const BITS_32: &[Need] =
    &[LINUX, Target("stable", I686), Program("i686-linux-gnu-gcc", "gcc-i686-linux-gnu libc6-dev-i386-cross lib32gcc-s1")];
const LINKER_32: (&str, &str) = ("CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER", "i686-linux-gnu-gcc");
/// For Miri, which runs the suites in small: fewer steps, smaller regions, and a small geometry in the place of `Server`.
const MIRI: &[Need] =
    &[Nightly, Component("nightly", "rust-src"), Component("nightly", "miri"), Prepared("cargo +nightly miri setup")];
const STACKED: (&str, &str) = ("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-strict-provenance");
/// Trees are kept small: a third faster than with Miri's own choice of 10,000.
const TREE: (&str, &str) =
    ("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-strict-provenance -Zmiri-tree-borrows -Zmiri-provenance-gc=1000");
/// Miri takes seconds for each backtrace, and tests of misuse panic on purpose.
const NO_BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "0");

/// In their order.
pub const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: Run::Quick,
        shows: "the code is formatted",
        needs: &[Component("stable", "rustfmt")],
        command: "cargo fmt --all --check",
        ..STEP
    },
    Step {
        name: "clippy",
        run: Run::Quick,
        shows: "no warning anywhere",
        needs: &[Component("stable", "clippy")],
        command: "cargo clippy --workspace --all-targets -- -D warnings",
        ..STEP
    },
    Step {
        name: "docs",
        run: Run::Quick,
        shows: "documentation without warnings",
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        command: "cargo doc --workspace --no-deps",
        ..STEP
    },
    Step {
        name: "no_std",
        shows: "the core builds where there is no std",
        needs: &[Target("stable", THUMB)],
        command: "cargo build -p coreheap --lib --target thumbv7em-none-eabihf",
        ..STEP
    },
    Step {
        name: "no-cas",
        shows: "the bare-metal port where there is no compare-and-swap",
        needs: &[Target("stable", THUMB_V6), Component("stable", "clippy")],
        command: "cargo clippy -p coreheap-bare --target thumbv6m-none-eabi -- -D warnings",
        ..STEP
    },
    Step {
        name: "masked",
        shows: "the same with interrupts masked instead, and a log",
        needs: &[Target("stable", THUMB_V6), Component("stable", "clippy")],
        command: "cargo clippy -p coreheap-bare --features critical-section,defmt,linked_list_allocator --target thumbv6m-none-eabi -- -D warnings",
        ..STEP
    },
    Step {
        name: "core",
        shows: "the core's own tests and examples, with debug assertions",
        run: Run::Quick,
        env: &[UNOPTIMISED],
        command: "cargo test -p coreheap --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "debug",
        shows: "all suites and the ports on this host, with debug assertions",
        run: Run::Quick,
        command: "cargo test -p coreheap-tests -p coreheap-bare -p coreheap-os -p coreheap-wasm --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "tools",
        shows: "the tests of this command and of the benchmarks",
        command: "cargo test -p xtask -p coreheap-bench -p coreheap-bench-bare -p coreheap-bench-wasm --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "release",
        shows: "all tests but benchmarks and the C library's, optimised",
        env: QUICK_RELEASE,
        command: "cargo test -p coreheap -p coreheap-tests -p coreheap-bare -p coreheap-os -p coreheap-wasm --release --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "c-debug",
        shows: "the C library in charge of programs, with debug assertions",
        needs: C_PROGRAMS,
        command: "cargo test -p coreheap-c --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "c-release",
        shows: "the C library in charge of programs, optimised as it is shipped",
        needs: C_PROGRAMS,
        command: "cargo test -p coreheap-c --release --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "32-bit-core",
        shows: "the core's own tests on 32-bit x86 with glibc",
        needs: BITS_32,
        env: &[LINKER_32, UNOPTIMISED],
        command: "cargo test -p coreheap --features allocator-api2 --lib --tests --no-fail-fast --target i686-unknown-linux-gnu",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "32-bit",
        shows: "all suites and the ports on 32-bit x86 with glibc",
        needs: BITS_32,
        env: &[LINKER_32],
        // `second_copy` builds a library for 64 bits.
        command: "cargo test -p coreheap-tests -p coreheap-bare -p coreheap-os -p coreheap-wasm --lib --tests --no-fail-fast --target i686-unknown-linux-gnu -- --skip second_copy",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "32-bit-musl",
        shows: "the port for hosted programs on 32-bit x86 with musl libc, its shorter suites",
        needs: &[LINUX, Target("stable", I686_MUSL)],
        env: &[("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")],
        command: "cargo test -p coreheap-os --lib --test conformance --test limits --test mmap --no-fail-fast --target i686-unknown-linux-musl",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "musl",
        shows: "all tests of the port for hosted programs on musl libc",
        needs: &[LINUX, Target("stable", MUSL)],
        env: &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")],
        command: "cargo test -p coreheap-os --lib --tests --no-fail-fast --target x86_64-unknown-linux-musl",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "allocator-api2",
        shows: "the core alone with this feature",
        env: &[UNOPTIMISED],
        command: "cargo test -p coreheap --features allocator-api2",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "allocator_api",
        shows: "the core alone with all features, on nightly",
        needs: &[Nightly],
        env: &[UNOPTIMISED],
        command: "cargo +nightly test -p coreheap --all-features --target-dir {target}/nightly",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "portable",
        shows: "the hosted port without restartable sequences, chosen by the user",
        env: &[("COREHEAP_CORES", "portable")],
        command: HOST_AGAIN,
        proof: Tests,
        ..STEP
    },
    Step {
        name: "no-rseq",
        shows: "the hosted port where glibc registers no restartable sequences",
        needs: &[LINUX],
        env: &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")],
        command: HOST_AGAIN,
        proof: Tests,
        ..STEP
    },
    Step {
        name: "loom",
        run: Run::Quick,
        shows: "every interleaving of models",
        env: &[("RUSTFLAGS", "--cfg loom"), QUICK_RELEASE[0], QUICK_RELEASE[1]],
        command: "cargo test -p coreheap --lib --release --target-dir {target}/loom model",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "stress-pages",
        shows: "pages under many threads that lose their processor before any use of an atomic",
        env: &[("RUSTFLAGS", "--cfg preempted"), ("STRESS_SECONDS", "30"), QUICK_RELEASE[0], QUICK_RELEASE[1]],
        command: "cargo test -p coreheap --lib --release --target-dir {target}/preempted stress",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "miri-stacked",
        shows: "Miri: Stacked Borrows, strict provenance, all suites",
        needs: MIRI,
        env: &[STACKED, NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap-tests --lib --tests --no-fail-fast",
        proof: Tests,
        minutes: 40,
        ..STEP
    },
    Step {
        name: "miri-stacked-core",
        shows: "the same, the core's own tests",
        needs: MIRI,
        env: &[STACKED, NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap --lib --tests --no-fail-fast",
        proof: Tests,
        minutes: 40,
        ..STEP
    },
    Step {
        name: "miri-tree",
        shows: "Miri: Tree Borrows, the suites that touch the most",
        needs: MIRI,
        env: &[TREE, NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap-tests --test suites -- conformance:: dense_heap:: random_actions:: sized_heaps:: threads::",
        proof: Tests,
        minutes: 40,
        ..STEP
    },
    Step {
        name: "miri-tree-core",
        shows: "the same, the core's own tests",
        needs: MIRI,
        env: &[TREE, NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap --lib",
        proof: Tests,
        minutes: 40,
        ..STEP
    },
    Step {
        name: "miri-seeds",
        shows: "Miri: 8 orders of each model, with weak memory, big endian and on 32 bits",
        needs: &[
            Nightly,
            Component("nightly", "rust-src"),
            Component("nightly", "miri"),
            Prepared("cargo +nightly miri setup --target s390x-unknown-linux-gnu --target i686-unknown-linux-gnu"),
        ],
        // Four orders of each model with each of two seeds: with eight seeds most of the time would go to the harness.
        env: &[("MIRIFLAGS", "-Zmiri-strict-provenance -Zmiri-many-seeds=0..2 -Zmiri-env-set=MODEL_ORDERS=4"), NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap --lib --target s390x-unknown-linux-gnu --target i686-unknown-linux-gnu model::",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "fuzz-corpus",
        shows: "the fuzzers' corpus once more, optimised",
        env: QUICK_RELEASE,
        command: "cargo test -p coreheap -p coreheap-tests -p coreheap-bare -p coreheap-os -p coreheap-wasm --release --test suites fuzz_corpus::",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "fuzz-targets",
        shows: "the fuzzers' programs compile",
        needs: &[Program("c++", "g++")],
        command: "cargo check --manifest-path tests/fuzz/Cargo.toml --target-dir {target}/fuzz",
        ..STEP
    },
    Step {
        name: "valgrind",
        shows: "an index on coreheap under Valgrind, which knows no restartable sequences",
        needs: &[LINUX, Program("valgrind", "valgrind")],
        env: &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", "valgrind --quiet --error-exitcode=9 --trace-children=yes")],
        command: "cargo run --release --example hosted -- src",
        ..STEP
    },
    Step {
        name: "hosted",
        shows: "example: the index of a small folder",
        command: "cargo run --release --example hosted -- src",
        ..STEP
    },
    Step {
        name: "fixed_region",
        shows: "example: a program in 64 KiB",
        command: "cargo run --release --example fixed_region",
        ..STEP
    },
    Step {
        name: "own_source",
        shows: "example: a page source of one's own",
        command: "cargo run --release --example own_source",
        ..STEP
    },
];
