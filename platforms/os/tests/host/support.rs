//! Runs cases in processes of their own, and what several cases need.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_os::CoresKind;

use crate::system;
pub use crate::system::resident_bytes;

/// Set in a process that is to run one case itself.
const CASE: &str = "COREHEAP_TEST_CASE";
/// No case takes nearly so long, a busy machine or not; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Makes tests of cases: `cases! { fn name() { … } }`.
macro_rules! cases {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {
        $($(#[$meta])* #[test] fn $name() {
            $crate::support::in_every_kind(concat!(module_path!(), "::", stringify!($name)), || $body)
        })*
    };
}
pub(crate) use cases;

/// Runs `case`, whose test has the name `path`, in a process for each kind: as the system offers, without sequences, with marks.
pub fn in_every_kind(path: &str, case: impl FnOnce()) {
    if std::env::var_os(CASE).is_some() {
        return case();
    }
    // The first part of the path is the crate's, which test names go without.
    let (_, name) = path.split_once("::").expect("a test in a module");
    let kinds: &[&str] = if are_sequences_certain() { &["offered"] } else { &["offered", "portable", "marks"] };
    for &kind in kinds {
        let mut command = this_program();
        command.args(["--exact", name, "--nocapture"]).env(CASE, "1").stdin(Stdio::null());
        if kind != "offered" {
            command.env("COREHEAP_CORES", kind);
        }
        let mut process = command.spawn().expect("a second process");
        let started = Instant::now();
        let status = loop {
            match process.try_wait().expect("a process of ours") {
                Some(status) => break status,
                None if started.elapsed() > TIME_LIMIT => {
                    let _ = process.kill();
                    panic!("{name} with {kind} cores hangs");
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        assert!(status.success(), "{name} with {kind} cores: {status}");
    }
}

/// This program once more: in an emulator, if this is one's.
fn this_program() -> Command {
    let path = std::env::current_exe().expect("the path of this test");
    let Some(emulator) = emulator().filter(|name| !name.is_empty()) else { return Command::new(path) };
    let mut command = Command::new(emulator);
    command.arg(path);
    command
}

/// The emulator that this runs in: who starts it says so, because a system cannot start a program for another processor by itself.
/// Without a name it is that of a whole machine, on which programs are started as anywhere.
pub fn emulator() -> Option<OsString> {
    std::env::var_os("COREHEAP_TEST_EMULATOR")
}

/// How much a loop of `full` rounds does here: debug builds check every free and are slower, so are threads under Wine, and emulators still
/// more so.
pub fn rounds(full: usize) -> usize {
    let checked = if cfg!(any(debug_assertions, windows)) { 5 } else { 1 };
    full.div_ceil(checked * if emulator().is_some() { 20 } else { 1 })
}

/// How often something has to happen for a test to have seen it in a given time: less in emulators.
pub fn times(full: usize) -> usize {
    full.div_ceil(if emulator().is_some() { 100 } else { 1 })
}

/// What this process was told to use, or what the system offers.
pub fn expected_kind() -> CoresKind {
    match std::env::var("COREHEAP_CORES").as_deref() {
        Ok("marks") => CoresKind::Marks,
        Ok("portable") => portable_kind(),
        _ if system::has_sequences() || are_sequences_certain() => CoresKind::Rseq,
        _ => portable_kind(),
    }
}

/// Whether this machine was set up for restartable sequences, so that tests without them would be for nothing.
fn are_sequences_certain() -> bool {
    std::env::var_os("COREHEAP_TEST_SEQUENCES").is_some()
}

/// The best that the system offers without sequences.
pub fn portable_kind() -> CoresKind {
    if system::has_barrier() { CoresKind::Leases } else { CoresKind::Marks }
}
