//! The project's commands, run as `cargo xtask COMMAND`.
//!
//! `test` runs the steps of a table, [`steps`]: [`rig`] sets up what a step needs, [`lanes`] runs steps side by side, [`runner`] chooses them and
//! [`report`] prints the results.

mod lanes;
mod process;
mod report;
mod rig;
mod runner;
mod shell;
mod steps;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the quick set of steps, which needs nothing but the Rust toolchain and takes minutes
    Test {
        /// Steps to run, of any set, in the place of the quick set
        #[arg(value_name = "STEP")]
        names: Vec<String>,
        /// Run what CI runs, and set up what it needs
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// List the steps, what each needs, and which are in the quick set
        #[arg(long)]
        list: bool,
        /// Show the output of every step while it runs, not only that of failing ones, and run one at a time
        #[arg(short, long)]
        verbose: bool,
    },
    /// Run an example in release mode, those for other machines in an emulator
    Example {
        /// The example's name: one of the root package's, or a step that runs one for another machine
        name: String,
        /// Arguments for the example, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Run a benchmark
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// coreheap, mimalloc and the system allocator, one thread, six patterns (about 20 seconds)
    Quick {
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Instructions of the same, restartable sequences included, on a machine in QEMU whose clock counts them (about a minute)
    Instructions {
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// coreheap and other allocators on bare metal, in QEMU: instructions, memory, code size, several cores (`-- --help` says more)
    Bare {
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// coreheap and other allocators in WebAssembly modules, in Node and Chromium: time, memory, code size, workers (`-- --help` says more)
    Wasm {
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// A real program, linked statically with musl libc, on coreheap, mimalloc, jemalloc and musl's own allocator (about three minutes)
    StaticTools {
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// coreheap and other allocators, many workloads, time and peak memory, a process for each (`-- --help` says more)
    Hosted {
        /// Linked statically with musl libc, on x86-64: coreheap, mimalloc and musl's own allocator, in our workloads
        #[arg(long)]
        musl: bool,
        /// Arguments for the benchmark, after `--`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        ExitCode::from(2)
    })
}

fn run(command: Command) -> io::Result<ExitCode> {
    match command {
        Command::Test { list: true, .. } => {
            runner::list()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { names, all, verbose, .. } => runner::test(&names, all, verbose),
        Command::Example { name, arguments } => runner::example(name, &arguments),
        Command::Bench(Bench::Quick { arguments }) => {
            shell::hand_over("cargo run --release -p coreheap-bench --bin", &["quick".into(), "--".into()], &arguments)
        }
        Command::Bench(Bench::Instructions { arguments }) => {
            provide(steps::BENCH_INSTRUCTIONS)?;
            let mut command =
                shell::command("cargo run --release -p coreheap-bench --bin quick -- --instructions --rounds 3 --pairs 20000");
            command
                .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", shell::root().join("tests/linux-machine/run.sh"))
                .env("COUNT", "1");
            Ok(shell::exit_code(command.args(arguments).status()?))
        }
        Command::Bench(Bench::Bare { arguments }) => {
            provide(steps::BENCH_BARE)?;
            shell::hand_over("cargo run --release -p coreheap-bench-bare --", &[], &arguments)
        }
        Command::Bench(Bench::Wasm { arguments }) => {
            provide(steps::BENCH_WASM)?;
            shell::hand_over("cargo run --release -p coreheap-bench-wasm --", &[], &arguments)
        }
        Command::Bench(Bench::StaticTools { arguments }) => {
            provide(steps::BENCH_MUSL)?;
            shell::hand_over("cargo run --release -p coreheap-bench --bin", &["static-tools".into(), "--".into()], &arguments)
        }
        Command::Bench(Bench::Hosted { musl: true, arguments }) => {
            provide(steps::BENCH_MUSL)?;
            let command =
                "cargo run --release -p coreheap-bench --target x86_64-unknown-linux-musl --bin hosted -- --group one,two,many";
            Ok(shell::exit_code(shell::command(command).args(arguments).status()?))
        }
        Command::Bench(Bench::Hosted { arguments, .. }) => {
            // The library that real programs are started with.
            if !shell::command("cargo build --release -p coreheap-c").status()?.success() {
                eprintln!("xtask: coreheap's C library cannot be built; real programs are run without it");
            }
            // Without `NDEBUG` snmalloc's crate builds its assertions in.
            let mut command = shell::command("cargo run --release -p coreheap-bench --features peers --bin hosted --");
            let status = command.args(arguments).env("CXXFLAGS", "-DNDEBUG").status()?;
            Ok(shell::exit_code(status))
        }
    }
}

/// Sees to it that all of this is there.
fn provide(needs: &[rig::Need]) -> io::Result<()> {
    (needs.iter()).try_for_each(|need| {
        need.provide().map_err(|(rig::Missing::NotHere(why) | rig::Missing::NotInstalled(why))| io::Error::other(why))
    })
}
