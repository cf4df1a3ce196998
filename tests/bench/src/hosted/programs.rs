//! Real programs, each with a fixed script, on an allocator that is preloaded.
//!
//! *Role*: the rows of the group `programs`. What counts is the CPU time and the peak of the process and of those it starts itself
//! (the compiler's). The scripts lie in `tests/bench/programs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use coreheap_bench::process::{Ended, Sample, start, wait};

/// A program and what it is to do.
pub struct Program {
    /// What it is called, here and in `PATH`.
    pub name: &'static str,
    /// What it does.
    pub shows: &'static str,
    kind: Kind,
}

enum Kind {
    /// Started with these words; `{}` stands for the folder of the scripts, `{work}` for one of its own.
    Script(&'static [&'static str]),
    /// Reads a script.
    Input(&'static [&'static str], &'static str),
    /// Waits for clients, who do the work.
    Server,
}

/// All of them, in the order of the results.
pub const PROGRAMS: &[Program] = &[
    Program { name: "python3", shows: "dictionaries, JSON, objects; PYTHONMALLOC=malloc", kind: Kind::Script(&["{}/work.py"]) },
    Program { name: "perl", shows: "hashes of arrays, join and split", kind: Kind::Script(&["{}/work.pl"]) },
    Program { name: "lua5.4", shows: "tables, closures, strings", kind: Kind::Script(&["{}/work.lua"]) },
    Program { name: "gawk", shows: "counts words", kind: Kind::Script(&["-f", "{}/work.awk"]) },
    Program { name: "sqlite3", shows: "a database in memory", kind: Kind::Input(&[":memory:"], "work.sql") },
    Program {
        name: "g++",
        shows: "compiles a file with many headers",
        kind: Kind::Script(&["-std=c++17", "-O1", "-c", "{}/work.cpp", "-o", "/dev/null"]),
    },
    Program { name: "z3", shows: "integers and their products", kind: Kind::Script(&["{}/work.smt2"]) },
    Program {
        name: "git",
        shows: "log with patches",
        kind: Kind::Script(&["-C", "{work}/repository", "log", "-p", "--stat", "-M", "main"]),
    },
    Program { name: "redis-server", shows: "the server under redis-benchmark; set, lpush, hset", kind: Kind::Server },
];

impl Program {
    /// Whether it is installed.
    pub fn is_here(&self) -> bool {
        let client = matches!(self.kind, Kind::Server).then_some("redis-benchmark");
        std::iter::once(self.name).chain(client).all(|name| in_path(name).is_some())
    }

    /// Runs it once with a library preloaded, in a folder where it may write.
    pub fn run(&self, library: &Path, env: &[(&str, &str)], work: &Path) -> io::Result<Sample> {
        let program = self.executable()?;
        let mut command = Command::new(program);
        command.envs(env.iter().copied()).env("LD_PRELOAD", library).env("PYTHONMALLOC", "malloc").env("GIT_PAGER", "cat");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let words = |words: &[&str]| -> Vec<String> {
            let (scripts, work) = (scripts().to_string_lossy(), work.to_string_lossy());
            words.iter().map(|word| word.replace("{}", &scripts).replace("{work}", &work)).collect()
        };
        if self.name == "git" {
            repository(work)?;
        }
        let begin = Instant::now();
        let ended = match self.kind {
            Kind::Script(arguments) => wait(start(command.args(words(arguments)))?)?,
            Kind::Input(arguments, script) => {
                wait(start(command.args(words(arguments)).stdin(File::open(scripts().join(script))?))?)?
            }
            Kind::Server => serve(&mut command, work)?,
        };
        if !ended.status.success() {
            return Err(io::Error::other(ended.status.to_string()));
        }
        Ok(Sample {
            cpu_seconds: ended.cpu_seconds,
            wall_seconds: begin.elapsed().as_secs_f64(),
            peak_kib: ended.peak_kib,
            operations: 0,
        })
    }

    /// The program itself; Python may be behind a script that chooses a version, which is not to be measured.
    fn executable(&self) -> io::Result<PathBuf> {
        static PYTHON: OnceLock<PathBuf> = OnceLock::new();
        let found = in_path(self.name).ok_or_else(|| io::Error::other("it is not installed"))?;
        if self.name != "python3" {
            return Ok(found);
        }
        let ask = || Command::new(&found).args(["-c", "import sys; print(sys.executable, end='')"]).output();
        Ok(PYTHON
            .get_or_init(|| ask().map_or(found.clone(), |output| String::from_utf8_lossy(&output.stdout).as_ref().into()))
            .clone())
    }
}

/// Where the scripts lie.
fn scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs"))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What git looks at; made once.
fn repository(work: &Path) -> io::Result<()> {
    let folder = work.join("repository");
    if folder.exists() {
        return Ok(());
    }
    let status = Command::new("sh").arg(scripts().join("repository.sh")).arg(&folder).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the repository cannot be made")) }
}

/// Runs a redis server through its clients' work.
fn serve(command: &mut Command, work: &Path) -> io::Result<Ended> {
    let socket = work.join("redis.sock");
    let _ = std::fs::remove_file(&socket);
    // No port, no files.
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
    let server = start(command)?;
    let id = server.id() as libc::pid_t;
    let worked = clients(&socket);
    // SAFETY: it is our own child, for which nobody has waited yet.
    unsafe { libc::kill(id, libc::SIGTERM) };
    let ended = wait(server)?;
    worked.map(|()| ended)
}

fn clients(socket: &Path) -> io::Result<()> {
    let begin = Instant::now();
    while !socket.exists() {
        if begin.elapsed() > Duration::from_secs(10) {
            return Err(io::Error::other("the server does not listen"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = Command::new("redis-benchmark")
        .arg("-s")
        .arg(socket)
        .args(["-t", "set,lpush,hset", "-n", "150000", "-r", "100000", "-d", "100", "-P", "32", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the clients failed")) }
}
