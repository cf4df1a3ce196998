//! Builds the library and the test programs, and runs programs with the library in charge.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// No program takes nearly so long; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// Both ways in which the library keeps threads apart: values of `COREHEAP_CORES`.
pub const KINDS: [&str; 2] = ["offered", "portable"];

/// The library, in both forms.
pub struct Library {
    /// To preload.
    pub shared: PathBuf,
    /// To link.
    pub archive: PathBuf,
}

/// The library, built in this test's profile; once.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut command = Command::new(env!("CARGO"));
        command.args("build --quiet --offline --package coreheap-c --lib --message-format json --target-dir".split(' '));
        command.arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/library"));
        command.args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] });
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
        let messages = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let find = |name: &str| {
            let end = messages.find(&format!("/{name}\"")).unwrap_or_else(|| panic!("no {name} in {messages}")) + 1 + name.len();
            let start = messages[..end].rfind('"').expect("a quoted path") + 1;
            PathBuf::from(&messages[start..end])
        };
        Library { shared: find("libcoreheap_c.so"), archive: find("libcoreheap_c.a") }
    })
}

/// Where this test may write.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A file of this test's source.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in").join(name)
}

/// Compiles a C or C++ file of this test's to a program named `name`, with `arguments` after it.
pub fn compile(file: &str, name: &str, arguments: &[&str]) -> PathBuf {
    let program = folder().join(name);
    let compiler = if file.ends_with(".cpp") { "c++" } else { "cc" };
    let mut command = Command::new(compiler);
    command.args(if compiler == "c++" { &["-std=c++17", "-fsized-deallocation"][..] } else { &["-std=gnu11"] });
    // The compiler knows what these functions promise, and would not look whether it is so.
    command.args("-g -O1 -fno-builtin -pthread -Wall -Wextra -o".split(' ')).arg(&program).arg(source(file)).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Whether this program is installed. Where all should be, in CI, it must be.
pub fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    assert!(found || std::env::var_os("CI").is_none_or(|value| value != "true"), "{program} is not installed");
    if !found {
        println!("{program} is not installed: skipped");
    }
    found
}

/// What a program printed and how it ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Standard output.
    pub output: String,
    /// Standard error output.
    pub errors: String,
}

impl Ended {
    /// The output of a program that ended well.
    #[track_caller]
    pub fn well(self) -> String {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.output, self.errors);
        self.output
    }
}

/// Runs a program to its end, or kills it.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    // Files, since a pipe that nobody empties holds a program up.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let files = ["output", "errors"].map(|kind| folder().join(format!("{kind}-{}-{number}", std::process::id())));
    let [output, errors] = files.each_ref().map(|path| File::create(path).expect("a file"));
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let started = Instant::now();
    let status = loop {
        match process.try_wait().expect("a process of ours") {
            Some(status) => break status,
            None if started.elapsed() > TIME_LIMIT => {
                let _ = process.kill();
                panic!("{command:?} hangs");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let [output, errors] = files.map(|path| {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("what was written")).into_owned();
        let _ = fs::remove_file(&path);
        text
    });
    Ended { status, output, errors }
}

/// A command with the library preloaded.
pub fn preloaded(program: impl AsRef<std::ffi::OsStr>, kind: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", &library().shared).env("COREHEAP_CORES", kind);
    command
}
