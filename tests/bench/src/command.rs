//! What benchmarks of other machines start on this one: compilers and emulators.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where cargo builds: programs lie in `target/release`.
pub fn target_dir() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default())
}

/// What a command prints, line by line.
pub fn lines(command: &mut Command) -> io::Result<Vec<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let words = text(&output.stdout) + &text(&output.stderr);
        return Err(io::Error::other(format!("{command:?}: {}\n{words}", output.status)));
    }
    Ok(text(&output.stdout).lines().map(str::to_string).collect())
}
