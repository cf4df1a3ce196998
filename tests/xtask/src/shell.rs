//! Running other programs from the workspace's root.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// The workspace's root folder.
pub fn root() -> &'static Path {
    // This package lies in `tests/xtask`.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies two folders below the root")
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A command that is written as one line: words between spaces, no quoting; `{target}` stands for [`target_dir`].
pub fn command(line: &str) -> Command {
    let target_dir = target_dir();
    let mut words = line.split_whitespace().map(|word| word.replace("{target}", &target_dir.to_string_lossy()));
    let mut command = Command::new(words.next().expect("a command has a first word"));
    command.args(words).current_dir(root());
    // The toolchain that built xtask is not to decide which one the step gets.
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// What a command prints, or `None` if it cannot be run or fails.
pub fn output_of(line: &str) -> Option<String> {
    let output = command(line).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with this terminal as its own; its exit code becomes ours.
pub fn hand_over(line: &str, names: &[String], arguments: &[String]) -> io::Result<ExitCode> {
    let status = command(line).args(names).args(arguments).status()?;
    Ok(exit_code(status))
}

/// A command's exit code as ours.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
