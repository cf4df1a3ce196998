//! What is checked on other machines, in emulators.

use super::Proof::{Tests, Words};
use super::{STEP, Step, THUMB, THUMB_V6};
use crate::rig::Need::{self, Component, Crate, File, Nightly, Program, Target};

const RISCV32: &str = "riscv32imac-unknown-none-elf";
const RISCV32_I: &str = "riscv32i-unknown-none-elf";
const RISCV64: &str = "riscv64gc-unknown-none-elf";
const AARCH64: &str = "aarch64-unknown-none-softfloat";
const X86_64: &str = "x86_64-unknown-none";
const WASM: &str = "wasm32-unknown-unknown";
const WASI: &str = "wasm32-wasip1";
const WASI_THREADS: &str = "wasm32-wasip1-threads";
const NODE: Need = Program("node", "nodejs");
/// For modules with workers, whose `core` is built for `atomics`.
const WORKERS: &[Need] =
    &[Nightly, Component("nightly", "rust-src"), Target("stable", WASM), NODE, Program("chromium", "chromium")];
/// Debian's packages of QEMU; some images have a `qemu-utils` that is too new for them, which goes.
pub const QEMU_ARM: &str = "qemu-system-arm qemu-utils-";
const QEMU_MISC: &str = "qemu-system-misc opensbi qemu-utils-";
pub const QEMU_X86: &str = "qemu-system-x86 qemu-utils-";
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
/// What `cargo xtask bench wasm` builds with, and runs in.
pub const BENCH_WASM: &[Need] = &[
    Target("stable", WASM),
    Nightly,
    Component("nightly", "rust-src"),
    Program("wasm-opt", "binaryen"),
    NODE,
    Program("chromium", "chromium"),
];

/// What the page's modules are built with: for one worker, and for several on one memory.
const MODULES: [Need; 3] = [Target("stable", WASM), Nightly, Component("nightly", "rust-src")];

/// Where a browser is needed to see it: an example that serves a page until it is ended, so it is no step.
pub const WASM_PAGE: Step = Step {
    name: "wasm",
    shows: "example: two allocators edit a document in the browser, with a live picture of the heap",
    needs: &MODULES,
    command: "cargo run --target-dir {target}/examples",
    folder: "examples/wasm-browser",
    ..STEP
};

/// In their order.
pub const STEPS: &[Step] = &[
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
            File("/usr/include/mgba/core/core.h", "libmgba-dev"),
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
        name: "wasm-threads",
        shows: "conformance, random actions and exchanges on threads, inside WebAssembly, in Node",
        needs: &[Target("stable", WASI_THREADS), NODE],
        env: &[("CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER", "node --no-warnings tests/wasi.mjs")],
        command: "cargo test -p coreheap-wasm --tests --target wasm32-wasip1-threads --no-fail-fast",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "wasm-workers-node",
        shows: "workers that exchange blocks, end, and are terminated, in Node",
        needs: WORKERS,
        command: "cargo run --release --target-dir {target}/workers",
        folder: "platforms/wasm/tests/workers",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "wasm-workers-browser",
        shows: "the same in Chromium, whose main thread allocates too",
        needs: WORKERS,
        env: &[("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "node browser.mjs")],
        command: "cargo run --release --target-dir {target}/workers",
        folder: "platforms/wasm/tests/workers",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "wasm-workers-refused",
        shows: "a heap for one thread, or stable Rust, ends the build of a module with workers, and says why",
        needs: WORKERS,
        command: "node refused.mjs {target}/workers",
        folder: "platforms/wasm/tests/workers",
        proof: Words("all is well"),
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
        name: "wasi",
        shows: "example: a program of WASI reads a log, in Node",
        needs: &[Target("stable", WASI), NODE],
        command: "cargo run --release --target-dir {target}/examples",
        folder: "examples/wasi",
        proof: Words("all is well"),
        ..STEP
    },
    Step {
        name: "wasm-browser",
        shows: "example: two allocators edit a document in Chromium; screenshots in cargo's target folder",
        needs: &[MODULES[0], MODULES[1], MODULES[2], Program("chromium", "chromium")],
        command: "cargo test --target-dir {target}/examples --test browser -- --nocapture",
        folder: "examples/wasm-browser",
        proof: Tests,
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
