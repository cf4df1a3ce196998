//! What is checked for Windows: run under Wine, or compiled.

use super::Proof::Tests;
use super::{LINUX, STEP, Step};
use crate::rig::Need::{self, Component, Program, Target};

const WINDOWS: Need = Target("stable", "x86_64-pc-windows-gnu");
/// Wine keeps its files in cargo's target folder, see `tests/wine/run.sh`.
const WINE: &[Need] =
    &[LINUX, WINDOWS, Program("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"), Program("wine", "wine wine64")];
/// In Wine a backtrace takes seconds, and tests panic on purpose.
const RUN: &[(&str, &str)] = &[
    ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "tests/wine/run.sh"),
    ("RUST_BACKTRACE", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
];

/// In their order.
pub const STEPS: &[Step] = &[
    Step {
        name: "windows-core",
        shows: "the core's own tests on Windows, under Wine, with debug assertions",
        needs: WINE,
        env: &[RUN[0], RUN[1], ("CARGO_PROFILE_DEV_OPT_LEVEL", "0")],
        command: "cargo test -p coreheap --features allocator-api2 --lib --tests --no-fail-fast --target x86_64-pc-windows-gnu",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "windows",
        shows: "the suites and the hosted port on Windows, under Wine, with debug assertions",
        needs: WINE,
        env: RUN,
        command: "cargo test -p coreheap-tests -p coreheap-os --lib --tests --no-fail-fast --target x86_64-pc-windows-gnu",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "windows-hosted",
        shows: "example: the index of a small folder, on Windows, under Wine",
        needs: WINE,
        env: RUN,
        command: "cargo run --release --example hosted --target x86_64-pc-windows-gnu -- src",
        ..STEP
    },
    Step {
        name: "windows-others",
        shows: "the hosted port and all suites compile for Microsoft's linker, AArch64 and 32-bit x86, without warnings",
        needs: &[
            Target("stable", "x86_64-pc-windows-msvc"),
            Target("stable", "aarch64-pc-windows-msvc"),
            Target("stable", "i686-pc-windows-gnu"),
            Component("stable", "clippy"),
        ],
        command: "cargo clippy -p coreheap-tests -p coreheap-os --all-targets --target x86_64-pc-windows-msvc --target aarch64-pc-windows-msvc --target i686-pc-windows-gnu -- -D warnings",
        ..STEP
    },
];
