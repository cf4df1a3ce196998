//! What is checked for other hosts with Unix: run in QEMU, which plays the processor and leaves the rest to this machine's Linux, or
//! compiled. Restartable sequences are an exception, because they take a Linux of the processor's own: see `tests/linux-machine/run.sh`.
//!
//! Left out in QEMU: `second_copy`, which builds a library for this machine; `an_idle_process_returns_its_memory`, which takes so long that
//! the heap has given memory back by itself; and a limit on address space, which QEMU ignores. The core's own suites take too long. On the whole
//! machine also what takes a thousand threads, and timers that are faster than it is.

use super::Proof::Tests;
use super::machines::{QEMU_ARM, QEMU_X86};
use super::{LINUX, STEP, Step};
use crate::rig::Need::{self, Component, File, Nightly, Program, Target};

/// Debian's QEMU for single programs: `qemu-aarch64-static` and so on.
const QEMU: &str = "qemu-user-static";

/// What `cargo xtask bench hosted --musl` builds with.
pub const BENCH_MUSL: &[Need] = &[LINUX, Target("stable", "x86_64-unknown-linux-musl"), Program("musl-gcc", "musl-tools")];
/// What `cargo xtask bench instructions` runs in.
pub const BENCH_INSTRUCTIONS: &[Need] = &[
    LINUX,
    Program("qemu-system-x86_64", QEMU_X86),
    Program("cpio", "cpio"),
    File("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux", "debian-installer-12-netboot-amd64"),
];

/// In their order.
pub const STEPS: &[Step] = &[
    Step {
        name: "aarch64",
        shows: "the hosted port on AArch64 Linux with glibc, in QEMU",
        needs: &[
            LINUX,
            Target("stable", "aarch64-unknown-linux-gnu"),
            Program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
            Program("qemu-aarch64-static", QEMU),
        ],
        env: &[
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-aarch64-static"),
            ("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu"),
        ],
        command: "cargo test -p coreheap-os --lib --test conformance --test host --test limits --test mmap --no-fail-fast --target aarch64-unknown-linux-gnu -- --skip reserves_less_than_preferred_where_there_is_a_limit --skip second_copy --skip an_idle_process_returns_its_memory",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "c-aarch64",
        shows: "the C library is built for AArch64 Linux",
        needs: &[
            LINUX,
            Target("stable", "aarch64-unknown-linux-gnu"),
            Program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
        ],
        env: &[("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")],
        command: "cargo build -p coreheap-c --target aarch64-unknown-linux-gnu",
        ..STEP
    },
    Step {
        name: "aarch64-musl",
        shows: "the hosted port on AArch64 Linux with musl, in QEMU, its shorter suites",
        needs: &[LINUX, Target("stable", "aarch64-unknown-linux-musl"), Program("qemu-aarch64-static", QEMU)],
        env: &[
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", "qemu-aarch64-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-aarch64-static"),
        ],
        // One after the other: tests fork, and in QEMU a child may wait for ever for what another thread had.
        command: "cargo test -p coreheap-os --lib --test conformance --test limits --test mmap --no-fail-fast --target aarch64-unknown-linux-musl -- --test-threads 1 --skip reserves_less_than_preferred_where_there_is_a_limit",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "aarch64-16k",
        shows: "the same binaries as aarch64-musl where the system's pages have 16 KiB, in QEMU",
        needs: &[LINUX, Target("stable", "aarch64-unknown-linux-musl"), Program("qemu-aarch64-static", QEMU)],
        env: &[
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", "qemu-aarch64-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-aarch64-static"),
            ("QEMU_PAGESIZE", "16384"),
        ],
        command: "cargo test -p coreheap-os --test conformance --test mmap --no-fail-fast --target aarch64-unknown-linux-musl -- --test-threads 1 --skip reserves_less_than_preferred_where_there_is_a_limit",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "aarch64-64k",
        shows: "the same binaries as aarch64-musl where the system's pages have 64 KiB, in QEMU",
        needs: &[LINUX, Target("stable", "aarch64-unknown-linux-musl"), Program("qemu-aarch64-static", QEMU)],
        env: &[
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", "qemu-aarch64-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-aarch64-static"),
            ("QEMU_PAGESIZE", "65536"),
        ],
        command: "cargo test -p coreheap-os --test conformance --test mmap --no-fail-fast --target aarch64-unknown-linux-musl -- --test-threads 1 --skip reserves_less_than_preferred_where_there_is_a_limit",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "aarch64-rseq",
        shows: "the hosted port's restartable sequences on AArch64 Linux with glibc and with musl, on a machine of four cores, in QEMU",
        needs: &[
            LINUX,
            Target("stable", "aarch64-unknown-linux-gnu"),
            Target("stable", "aarch64-unknown-linux-musl"),
            Program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
            Program("qemu-system-aarch64", QEMU_ARM),
            Program("cpio", "cpio"),
            File(
                "/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux",
                "debian-installer-12-netboot-arm64",
            ),
        ],
        env: &[
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "tests/linux-machine/run.sh"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", "tests/linux-machine/run.sh"),
        ],
        command: "cargo test -p coreheap-os --lib --test host --no-fail-fast --target aarch64-unknown-linux-gnu --target aarch64-unknown-linux-musl -- --test-threads=2 rseq kinds exchange forks signals --skip a_thousand_threads --skip timers_interrupt_allocations",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "riscv64",
        shows: "the hosted port on 64-bit RISC-V Linux with glibc, in QEMU",
        needs: &[
            LINUX,
            Target("stable", "riscv64gc-unknown-linux-gnu"),
            Program("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"),
            Program("qemu-riscv64-static", QEMU),
        ],
        env: &[
            ("CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER", "riscv64-linux-gnu-gcc"),
            ("CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUNNER", "qemu-riscv64-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-riscv64-static"),
            ("QEMU_LD_PREFIX", "/usr/riscv64-linux-gnu"),
        ],
        command: "cargo test -p coreheap-os --lib --test conformance --test host --test limits --no-fail-fast --target riscv64gc-unknown-linux-gnu -- --skip second_copy --skip an_idle_process_returns_its_memory",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "armv7",
        shows: "the hosted port on 32-bit ARM Linux with glibc, in QEMU",
        needs: &[
            LINUX,
            Target("stable", "armv7-unknown-linux-gnueabihf"),
            Program("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
            Program("qemu-arm-static", QEMU),
        ],
        env: &[
            ("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER", "arm-linux-gnueabihf-gcc"),
            ("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUNNER", "qemu-arm-static"),
            ("COREHEAP_TEST_EMULATOR", "qemu-arm-static"),
            ("QEMU_LD_PREFIX", "/usr/arm-linux-gnueabihf"),
        ],
        command: "cargo test -p coreheap-os --lib --test conformance --test host --test limits --no-fail-fast --target armv7-unknown-linux-gnueabihf -- --skip second_copy --skip an_idle_process_returns_its_memory",
        proof: Tests,
        ..STEP
    },
    Step {
        name: "others",
        shows: "the hosted port and all suites compile for macOS, iOS, FreeBSD, NetBSD and Android, without warnings",
        needs: OTHERS,
        command: "cargo clippy -p coreheap-tests -p coreheap-os --all-targets --target x86_64-apple-darwin --target aarch64-apple-darwin --target aarch64-apple-ios --target x86_64-unknown-freebsd --target x86_64-unknown-netbsd --target aarch64-linux-android -- -D warnings",
        ..STEP
    },
    Step {
        name: "dragonfly",
        shows: "the hosted port without its purger compiles for DragonFly",
        needs: &[Nightly, Component("nightly", "rust-src")],
        command: "cargo +nightly check -p coreheap-os --no-default-features -Zbuild-std=core,alloc --target x86_64-unknown-dragonfly --target-dir {target}/nightly",
        ..STEP
    },
];

const OTHERS: &[Need] = &[
    Target("stable", "x86_64-apple-darwin"),
    Target("stable", "aarch64-apple-darwin"),
    Target("stable", "aarch64-apple-ios"),
    Target("stable", "x86_64-unknown-freebsd"),
    Target("stable", "x86_64-unknown-netbsd"),
    Target("stable", "aarch64-linux-android"),
    Component("stable", "clippy"),
];
