//! The programs for the targets: built by cargo, run by QEMU.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreheap_bench::command::{lines, target_dir};

/// A machine of QEMU's that counts instructions.
pub struct Board {
    /// What it is called in the tables.
    pub name: &'static str,
    pub target: &'static str,
    qemu: &'static str,
    machine: &'static [&'static str],
}

/// The boards.
pub const BOARDS: [Board; 2] = [
    Board {
        name: "Cortex-M4 (thumbv7em, QEMU mps2-an386)",
        target: "thumbv7em-none-eabihf",
        qemu: "qemu-system-arm",
        machine: &["-machine", "mps2-an386"],
    },
    Board {
        name: "32-bit RISC-V (riscv32imac, QEMU virt)",
        target: "riscv32imac-unknown-none-elf",
        qemu: "qemu-system-riscv32",
        machine: &["-machine", "virt", "-bios", "none"],
    },
];

/// A program to build.
pub struct Program<'a> {
    pub name: &'a str,
    pub target: &'a str,
    pub opt_level: &'a str,
    /// Bytes of the region.
    pub bytes: usize,
    /// The allocator's type, where the program has one.
    pub heap: Option<&'a str>,
}

impl Program<'_> {
    /// Builds it. An error has the compiler's first words.
    pub fn build(&self) -> io::Result<PathBuf> {
        let target_dir = target_dir()?.join("bench-bare");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--release", "--bin", self.name, "--target", self.target, "--target-dir"]);
        cargo.arg(&target_dir).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware"));
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.opt_level).env("BENCH_BYTES", self.bytes.to_string());
        cargo.envs(self.heap.map(|heap| ("BENCH_HEAP", heap)));
        let output = cargo.output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let error = words.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed");
            return Err(io::Error::other(error.to_string()));
        }
        Ok(target_dir.join(self.target).join("release").join(self.name))
    }
}

impl Board {
    /// Runs a program with these arguments, and counts instructions if asked to; what it prints, line by line.
    pub fn run(&self, program: &Path, counts: bool, arguments: &[&str]) -> io::Result<Vec<String>> {
        let words: String = arguments.iter().map(|argument| format!(",arg={argument}")).collect();
        let mut command = Command::new(self.qemu);
        command.args(self.machine).args(["-display", "none", "-serial", "none", "-monitor", "none", "-semihosting-config"]);
        command.arg(format!("enable=on,target=native,arg=program{words}"));
        if counts {
            // An instruction takes 2 to the 7th nanoseconds.
            command.args(["-icount", "shift=7,sleep=off"]);
        }
        command.arg("-kernel").arg(program);
        lines(&mut command)
    }
}

/// Runs a program on so many harts of QEMU's 64-bit RISC-V; what it prints, line by line.
pub fn run_harts(program: &Path, harts: usize) -> io::Result<Vec<String>> {
    let mut command = Command::new("qemu-system-riscv64");
    command.args(["-machine", "virt", "-bios", "none", "-m", "256M", "-smp", &harts.to_string(), "-display", "none"]);
    command.args(["-serial", "none", "-monitor", "none", "-semihosting-config"]);
    command.arg(format!("enable=on,target=native,arg=program,arg={harts}")).arg("-kernel").arg(program);
    lines(&mut command)
}

/// The numbers of each line that begins with this word.
pub fn numbers<'a>(lines: &'a [String], word: &'a str) -> impl Iterator<Item = Vec<f64>> + 'a {
    let rest = move |line: &'a String| line.strip_prefix(word)?.strip_prefix(' ');
    lines.iter().filter_map(rest).map(|line| line.split(' ').filter_map(|number| number.parse().ok()).collect())
}
