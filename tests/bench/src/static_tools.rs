//! A real program, linked statically with musl libc, on four allocators: `cargo xtask bench static-tools`.
//!
//! [fd](https://crates.io/crates/fd-find) is built from its source on crates.io, once for each allocator, with nothing changed but the line that names the
//! allocator. It then looks through the folders that cargo and rustup keep, the allocators by turns.

#[cfg(target_os = "linux")]
mod tools {
    use std::fs::{self, OpenOptions};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use clap::Parser;
    use coreheap_bench::command::{lines, target_dir};
    use coreheap_bench::numbers::median;
    use coreheap_bench::process::{start, wait};
    use coreheap_bench::table::{Table, grouped};

    const VERSION: &str = "10.5.0";
    const TARGET: &str = "x86_64-unknown-linux-musl";

    /// A real program, linked statically with musl libc, on four allocators
    #[derive(Parser)]
    #[command(name = "static-tools", bin_name = "cargo xtask bench static-tools --")]
    struct Arguments {
        /// Rounds; in each one every allocator does all work once
        #[arg(long, default_value_t = 9)]
        rounds: usize,
        /// Folders to look through, instead of cargo's and rustup's
        folders: Vec<PathBuf>,
    }

    /// An allocator, as a program names it.
    struct Allocator {
        name: &'static str,
        /// The package and its version; `coreheap-os` is the one that lies here.
        dependency: &'static str,
        /// The static.
        item: &'static str,
        /// The features of fd.
        features: &'static str,
    }

    const ALLOCATORS: [Allocator; 4] = [
        Allocator {
            name: "coreheap",
            dependency: concat!("coreheap-os]\npath = \"", env!("CARGO_MANIFEST_DIR"), "/../../platforms/os\""),
            item: "static ALLOCATOR: coreheap_os::Coreheap = coreheap_os::Coreheap::new();",
            features: "completions",
        },
        Allocator {
            name: "mimalloc v3",
            dependency: "mimalloc]\nversion = \"0.1.52\"\ndefault-features = false",
            item: "static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;",
            features: "completions",
        },
        Allocator { name: "jemalloc, as fd offers it", dependency: "", item: "", features: "completions,use-jemalloc" },
        Allocator { name: "musl's", dependency: "", item: "", features: "completions" },
    ];

    pub fn run() -> io::Result<()> {
        let mut arguments = Arguments::parse();
        if arguments.folders.is_empty() {
            arguments.folders =
                [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")].map(|(name, folder)| home(name, folder)).into();
        }
        let folder = target_dir()?.join("bench/static-tools");
        let source = source(&folder)?;
        let programs = ALLOCATORS.iter().map(|allocator| build(allocator, &source, &folder)).collect::<io::Result<Vec<_>>>()?;
        for (what, options) in [("all files", &["-uu", "."][..]), ("Rust files, `.gitignore` heeded", &["-H", "rs$"])] {
            let mut samples = ALLOCATORS.map(|_| (Vec::new(), Vec::new()));
            for round in 0..=arguments.rounds {
                for (program, (seconds, peaks)) in programs.iter().zip(&mut samples) {
                    let mut command = Command::new(program);
                    command.args(options).args(&arguments.folders).stdin(Stdio::null()).stdout(Stdio::null());
                    let ended = wait(start(&mut command)?)?;
                    // The first round brings the folders into memory.
                    if round > 0 {
                        seconds.push(ended.cpu_seconds);
                        peaks.push(ended.peak_kib as f64);
                    }
                }
            }
            let title = format!("fd {VERSION} finds {what}, static with musl, medians of {} rounds", arguments.rounds);
            let mut table = Table::new(title, ["seconds of processor time", "peak RSS, MiB", "bytes of program, stripped"]);
            for ((allocator, program), (seconds, peaks)) in ALLOCATORS.iter().zip(&programs).zip(&mut samples) {
                let bytes = grouped(fs::metadata(program)?.len() as f64);
                table.row(
                    allocator.name,
                    vec![format!("{:.3}", median(seconds)), format!("{:.1}", median(peaks) / 1024.0), bytes],
                );
            }
            table.print();
        }
        Ok(())
    }

    /// A folder that a variable of the environment names, or else one in the user's own.
    fn home(name: &str, folder: &str) -> PathBuf {
        let of_user = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(folder);
        std::env::var_os(name).map_or_else(of_user, PathBuf::from)
    }

    fn cargo() -> Command {
        Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
    }

    /// Has cargo fetch fd's source; says where it lies.
    fn source(folder: &Path) -> io::Result<PathBuf> {
        let fetch = folder.join("fetch");
        fs::create_dir_all(fetch.join("src"))?;
        fs::write(fetch.join("src/lib.rs"), "")?;
        let manifest =
            format!("[package]\nname = \"fetch\"\nedition = \"2024\"\n[dependencies]\nfd-find = \"={VERSION}\"\n[workspace]\n");
        fs::write(fetch.join("Cargo.toml"), manifest)?;
        lines(cargo().arg("fetch").current_dir(&fetch))?;
        let registries = home("CARGO_HOME", ".cargo").join("registry/src");
        let mut sources = fs::read_dir(registries)?.flatten().map(|registry| registry.path().join(format!("fd-find-{VERSION}")));
        sources.find(|source| source.exists()).ok_or_else(|| io::Error::other("fd's source was not fetched"))
    }

    /// Builds fd with an allocator; says where the program lies.
    fn build(allocator: &Allocator, source: &Path, folder: &Path) -> io::Result<PathBuf> {
        let copy = folder.join(allocator.name.split([' ', ',']).next().unwrap_or_default());
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        lines(Command::new("cp").arg("-r").arg(source).arg(&copy))?;
        let append = |file: &str, text: &str| OpenOptions::new().append(true).open(copy.join(file))?.write_all(text.as_bytes());
        if !allocator.item.is_empty() {
            append("Cargo.toml", &format!("\n[dependencies.{}\n", allocator.dependency))?;
            append("src/main.rs", &format!("\n#[global_allocator]\n{}\n", allocator.item))?;
        }
        append("Cargo.toml", "\n[workspace]\n")?;
        let mut command = cargo();
        command.args(["build", "--quiet", "--release", "--target", TARGET, "--target-dir"]).arg(folder.join("target"));
        command.args(["--no-default-features", "--features", allocator.features]);
        eprintln!("building fd on {}", allocator.name);
        lines(command.env("CC_x86_64_unknown_linux_musl", "musl-gcc").current_dir(&copy))?;
        let program = copy.join("fd");
        fs::copy(folder.join("target").join(TARGET).join("release/fd"), &program)?;
        Ok(program)
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    tools::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this benchmark reads what Linux knows about processes");
    std::process::exit(2);
}
