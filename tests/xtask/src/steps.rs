//! The steps of `cargo xtask test`, in the order in which they run.
//!
//! A command is one line of words between spaces; `{target}` is cargo's target folder. Steps share it where compiler and flags are
//! the same, so that little is built twice.

use Proof::{Status, Tests, Words};

use crate::rig::Need::{self, Component, Crate, Header, Host, Nightly, Prepared, Program, Target};

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
    /// Where, from the workspace's root: examples for other machines are packages that say inside how to run them.
    pub folder: &'static str,
    /// What shows that it did what it is for.
    pub proof: Proof,
    /// Whether it runs at the same time as the step before: both keep one processor busy for minutes, and need the same.
    pub beside: bool,
}

/// What shows, beside its exit status, that a step did what it is for.
pub enum Proof {
    /// Nothing more.
    Status,
    /// It ran a test.
    Tests,
    /// It said this: where an emulator that was killed looks like one that has ended.
    Words(&'static str),
}

const LINUX: Need = Host("linux", "x86_64");
const I686: &str = "i686-unknown-linux-musl";
const MUSL: &str = "x86_64-unknown-linux-musl";
const THUMB: &str = "thumbv7em-none-eabihf";
const THUMB_V6: &str = "thumbv6m-none-eabi";
const RISCV32: &str = "riscv32imac-unknown-none-elf";
const RISCV32_I: &str = "riscv32i-unknown-none-elf";
const RISCV64: &str = "riscv64gc-unknown-none-elf";
const AARCH64: &str = "aarch64-unknown-none-softfloat";
const X86_64: &str = "x86_64-unknown-none";
const WASM: &str = "wasm32-unknown-unknown";
const WASI: &str = "wasm32-wasip1";
const NODE: Need = Program("node", "nodejs");
/// Debian's packages of QEMU; some images have a `qemu-utils` that is too new for them, which goes.
const QEMU_ARM: &str = "qemu-system-arm qemu-utils-";
const QEMU_MISC: &str = "qemu-system-misc opensbi qemu-utils-";
const QEMU_X86: &str = "qemu-system-x86 qemu-utils-";
/// What `cargo xtask bench bare` builds for, and runs in.
pub const BENCH_BARE: &[Need] = &[
    Target("stable", THUMB),
    Target("stable", THUMB_V6),
    Target("stable", RISCV32),
    Target("stable", "riscv32imc-unknown-none-elf"),
    Target("stable", RISCV64),
    Program("qemu-system-arm", QEMU_ARM),
    Program("qemu-system-riscv32", QEMU_MISC),
    Program("qemu-system-riscv64", QEMU_MISC),
];
/// Three quarters of the time that the optimised tests take to build is link-time optimisation; the code that is tested is
/// generic, and is optimised as well without.
const NO_LTO: &[(&str, &str)] = &[("CARGO_PROFILE_RELEASE_LTO", "off")];
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
/// For Miri, which runs the suites in small: fewer steps, smaller regions, and a small geometry in the place of `Server`.
const MIRI: &[Need] =
    &[Nightly, Component("nightly", "rust-src"), Component("nightly", "miri"), Prepared("cargo +nightly miri setup")];
/// Miri takes seconds for each backtrace, and tests of misuse panic on purpose.
const NO_BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "0");

/// What most steps have in common.
const STEP: Step = Step { name: "", shows: "", needs: &[], env: &[], command: "", folder: "", proof: Status, beside: false };

/// The table.
pub const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        shows: "the code is formatted",
        needs: &[Component("stable", "rustfmt")],
        command: "cargo fmt --all --check",
        ..STEP
    },
    Step {
        name: "clippy",
        shows: "no warning anywhere",
        needs: &[Component("stable", "clippy")],
        command: "cargo clippy --workspace --all-targets -- -D warnings",
        ..STEP
    },
    Step {
        name: "docs",
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
        command: "cargo clippy -p coreheap-bare --features critical-section,defmt --target thumbv6m-none-eabi -- -D warnings",
        ..STEP
    },
    Step {
        name: "debug",
        shows: "all tests but the C library's, with debug assertions",
        command: "cargo test --workspace --exclude coreheap-c --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "release",
        shows: "all tests but the C library's, optimised",
        env: NO_LTO,
        command: "cargo test --workspace --exclude coreheap-c --release --no-fail-fast",
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
        name: "32-bit",
        shows: "all tests but benchmarks and the C library on 32-bit x86",
        needs: &[LINUX, Target("stable", I686)],
        env: &[("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")],
        command: "cargo test --workspace --exclude coreheap-bench --exclude coreheap-bench-bare --exclude coreheap-c --exclude xtask --lib --tests --no-fail-fast --target i686-unknown-linux-musl",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "musl",
        shows: "all tests but benchmarks and the C library on musl libc",
        needs: &[LINUX, Target("stable", MUSL)],
        env: &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")],
        command: "cargo test --workspace --exclude coreheap-bench --exclude coreheap-bench-bare --exclude coreheap-c --exclude xtask --lib --tests --no-fail-fast --target x86_64-unknown-linux-musl",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "allocator-api2",
        shows: "the core alone with this feature",
        command: "cargo test -p coreheap --features allocator-api2",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "allocator_api",
        shows: "the core alone with all features, on nightly",
        needs: &[Nightly],
        command: "cargo +nightly test -p coreheap --all-features --target-dir {target}/nightly",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "portable",
        shows: "the hosted port without restartable sequences, chosen by the user",
        env: &[("COREHEAP_CORES", "portable")],
        command: "cargo test -p coreheap-os --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "no-rseq",
        shows: "the hosted port where glibc registers no restartable sequences",
        needs: &[LINUX],
        env: &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")],
        command: "cargo test -p coreheap-os --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "loom",
        shows: "every interleaving of small models",
        env: &[("RUSTFLAGS", "--cfg loom")],
        command: "cargo test -p coreheap --lib --release --target-dir {target}/loom loom",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "miri-stacked",
        shows: "Miri: Stacked Borrows, strict provenance",
        needs: MIRI,
        env: &[("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-strict-provenance"), NO_BACKTRACE],
        command: "cargo +nightly miri test -p coreheap -p coreheap-tests --lib --tests --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "miri-tree",
        shows: "Miri: Tree Borrows, strict provenance",
        needs: MIRI,
        // Trees are kept small: a third faster than with Miri's own choice of 10,000.
        env: &[
            ("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-strict-provenance -Zmiri-tree-borrows -Zmiri-provenance-gc=1000"),
            NO_BACKTRACE,
        ],
        command: "cargo +nightly miri test -p coreheap -p coreheap-tests --lib --tests --no-fail-fast",
        proof: Tests,
        beside: true,
        ..STEP
    },
    Step {
        name: "fuzz-corpus",
        shows: "the fuzzers' corpus once more, optimised",
        env: NO_LTO,
        command: "cargo test --release -p coreheap-tests --test fuzz_corpus",
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
    Step {
        name: "kernel-riscv64",
        shows: "example: a kernel on four cores, 64-bit RISC-V, in QEMU",
        needs: &[Target("stable", RISCV64), Program("qemu-system-riscv64", QEMU_MISC)],
        command: "cargo run --release --target riscv64gc-unknown-none-elf --target-dir {target}/examples",
        folder: "examples/kernel",
        ..STEP
    },
    Step {
        name: "kernel-aarch64",
        shows: "example: a kernel on four cores, AArch64, in QEMU",
        needs: &[Target("stable", AARCH64), Program("qemu-system-aarch64", QEMU_ARM)],
        command: "cargo run --release --target aarch64-unknown-none-softfloat --target-dir {target}/examples",
        folder: "examples/kernel",
        ..STEP
    },
    Step {
        name: "kernel-x86_64",
        shows: "example: a kernel on four cores, x86-64, in QEMU",
        needs: &[Target("stable", X86_64), Program("qemu-system-x86_64", QEMU_X86)],
        command: "cargo run --release --target x86_64-unknown-none --target-dir {target}/examples",
        folder: "examples/kernel",
        ..STEP
    },
    Step {
        name: "firmware",
        shows: "example: firmware on a Cortex-M4, in QEMU",
        needs: &[Target("stable", THUMB), Program("qemu-system-arm", QEMU_ARM), Crate("qemu-run")],
        command: "cargo run --release --target-dir {target}/examples",
        folder: "examples/firmware",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "gba",
        shows: "example: a pond on the Game Boy Advance, two kinds of memory, in mGBA",
        // For the emulator, which is compiled.
        needs: &[
            Nightly,
            Component("nightly", "rust-src"),
            Program("cc", "gcc libc6-dev"),
            Header("mgba/core/core.h", "libmgba-dev"),
        ],
        command: "cargo run --release --target-dir {target}/examples",
        folder: "examples/gba",
        ..STEP
    },
    Step {
        name: "smoke-thumbv6m",
        shows: "8 KiB on a Cortex-M0, interrupts that allocate, in QEMU",
        needs: &[Target("stable", THUMB_V6), Program("qemu-system-arm", QEMU_ARM)],
        command: "cargo run --release --target thumbv6m-none-eabi --bin any_context --target-dir {target}/examples",
        folder: "examples/smoke",
        ..STEP
    },
    Step {
        name: "smoke-exclusive",
        shows: "the same without interrupts",
        needs: &[Target("stable", THUMB_V6), Program("qemu-system-arm", QEMU_ARM)],
        command: "cargo run --release --no-default-features --target thumbv6m-none-eabi --bin exclusive --target-dir {target}/examples",
        folder: "examples/smoke",
        ..STEP
    },
    Step {
        name: "smoke-riscv32",
        shows: "8 KiB on 32-bit RISC-V, interrupts that allocate, in QEMU",
        needs: &[Target("stable", RISCV32), Program("qemu-system-riscv32", QEMU_MISC)],
        command: "cargo run --release --target riscv32imac-unknown-none-elf --bin any_context --target-dir {target}/examples",
        folder: "examples/smoke",
        ..STEP
    },
    Step {
        name: "on-target-thumbv7em",
        shows: "conformance, random actions, and interrupts that allocate, on a Cortex-M4, in QEMU",
        needs: &[Target("stable", THUMB), Program("qemu-system-arm", QEMU_ARM)],
        command: "cargo test --release --target thumbv7em-none-eabihf --target-dir {target}/examples",
        folder: "tests/on-target",
        ..STEP
    },
    Step {
        name: "on-target-riscv32",
        shows: "the same on 32-bit RISC-V",
        needs: &[Target("stable", RISCV32), Program("qemu-system-riscv32", QEMU_MISC)],
        command: "cargo test --release --target riscv32imac-unknown-none-elf --target-dir {target}/examples",
        folder: "tests/on-target",
        ..STEP
    },
    Step {
        name: "on-target-thumbv6m",
        shows: "the same without compare-and-swap, and for how long interrupts are masked, on a Cortex-M0's code",
        needs: &[Target("stable", THUMB_V6), Program("qemu-system-arm", QEMU_ARM)],
        command: "cargo test --release --target thumbv6m-none-eabi --target-dir {target}/examples",
        folder: "tests/on-target",
        ..STEP
    },
    Step {
        name: "on-target-riscv32i",
        shows: "the same on 32-bit RISC-V without atomics",
        needs: &[Target("stable", RISCV32_I), Program("qemu-system-riscv32", QEMU_MISC)],
        command: "cargo test --release --target riscv32i-unknown-none-elf --target-dir {target}/examples",
        folder: "tests/on-target",
        ..STEP
    },
    Step {
        name: "wasm-conformance",
        shows: "conformance, random actions, strangers and the end of 4 GiB, inside WebAssembly, in Node",
        needs: &[Target("stable", WASI), NODE],
        env: &[("CARGO_TARGET_WASM32_WASIP1_RUNNER", "node --no-warnings tests/wasi.mjs")],
        command: "cargo test -p coreheap-wasm --tests --target wasm32-wasip1 --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "wasm-node",
        shows: "example: hello world as a module in Node, and what it takes of memory",
        needs: &[Target("stable", WASM), NODE],
        command: "cargo run --release --target-dir {target}/examples",
        folder: "examples/wasm",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "wasm-node-small",
        shows: "the same on the heap of little code",
        needs: &[Target("stable", WASM), NODE],
        command: "cargo run --release --features small --target-dir {target}/examples",
        folder: "examples/wasm",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "wasm64",
        shows: "the port for WebAssembly compiles for 64-bit memories",
        needs: &[Nightly, Component("nightly", "rust-src")],
        command: "cargo +nightly check -p coreheap-wasm -Zbuild-std=core,alloc --target wasm64-unknown-unknown --target-dir {target}/nightly",
        ..STEP
    },
];
