//! What steps need beside the source, and how it is had: rustup's components and targets are added; a Debian package is
//! installed where this is Debian and we are root, and named on other Linux systems. Elsewhere there are no such packages.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, Once};
use std::thread::sleep;
use std::time::Duration;

use crate::shell::{command, output_of};

/// How often an installation is tried: a network fails for a moment.
const ATTEMPTS: u32 = 3;
/// How long it is left alone between two of them.
const PAUSE: Duration = Duration::from_secs(10);

/// Debian's command for packages; another one that runs is waited for.
const APT: &str = "apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300";

const NIGHTLY: &str = "rustup toolchain install nightly --profile minimal";

/// Something that must be there before a step can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// The nightly toolchain.
    Nightly,
    /// A component of a toolchain: (toolchain, component).
    Component(&'static str, &'static str),
    /// The standard library for a target: (toolchain, target triple).
    Target(&'static str, &'static str),
    /// A program, and the Debian package that has it: (program, package).
    Program(&'static str, &'static str),
    /// A file that is not in the path, and the Debian package that has it: (file, package).
    File(&'static str, &'static str),
    /// A program that cargo installs, named like its crate.
    Crate(&'static str),
    /// What this command makes, once for all runs.
    Prepared(&'static str),
    /// An operating system and architecture that this must be: (name, name), as in `std::env::consts`.
    Host(&'static str, &'static str),
}

/// Why a need is not met.
pub enum Missing {
    /// It never can be on this machine.
    NotHere(String),
    /// It could be; the text says how.
    NotInstalled(String),
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Need::Nightly => output_of("rustup run nightly rustc --version").is_some(),
            Need::Component(toolchain, name) => {
                has_line(&format!("rustup component list --installed --toolchain {toolchain}"), name)
            }
            // As a whole: `wasm32-wasip1-threads` is another target than `wasm32-wasip1`.
            Need::Target(toolchain, triple) => output_of(&format!("rustup target list --installed --toolchain {toolchain}"))
                .is_some_and(|output| output.lines().any(|line| line == triple)),
            Need::Program(name, _) | Need::Crate(name) => is_in_path(name),
            Need::Prepared(line) => output_of(line).is_some(),
            Need::File(path, _) => Path::new(path).is_file(),
            Need::Host(os, arch) => (std::env::consts::OS, std::env::consts::ARCH) == (os, arch),
        }
    }

    /// Sees to it that the need is met.
    pub fn provide(self) -> Result<(), Missing> {
        // Steps run side by side.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        if self.is_met() {
            return Ok(());
        }
        let install = match self {
            Need::Nightly => NIGHTLY.into(),
            Need::Component(toolchain, name) => format!("rustup component add --toolchain {toolchain} {name}"),
            Need::Target(toolchain, triple) => format!("rustup target add --toolchain {toolchain} {triple}"),
            Need::Program(_, package) | Need::File(_, package) => {
                format!("{APT} {package}")
            }
            Need::Crate(name) => format!("cargo install --locked {name}"),
            Need::Prepared(line) => line.into(),
            Need::Host(..) => return Err(Missing::NotHere(format!("only on {self}"))),
        };
        let is_package = matches!(self, Need::Program(..) | Need::File(..));
        if is_package && std::env::consts::OS != "linux" {
            return Err(Missing::NotHere(format!("{self} is missing, which is a Debian package to us")));
        }
        if is_package && !is_debian_as_root() {
            return Err(Missing::NotInstalled(format!("{self} is missing; on Debian: {install}")));
        }
        println!("      {install}");
        if is_package {
            update_package_lists();
        }
        let mut words = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(PAUSE);
            }
            let installed = command(&install).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
            match installed {
                Ok(_) if self.is_met() => return Ok(()),
                Ok(output) => {
                    words = String::from_utf8_lossy(&output.stderr).trim().to_string();
                    if let Need::Target(toolchain, triple) = self
                        && words.contains("detected conflict")
                    {
                        remove_leftovers(toolchain, triple);
                    }
                }
                Err(error) => {
                    return Err(Missing::NotInstalled(format!("{self} is missing; cannot run `{install}`: {error}")));
                }
            }
        }
        println!("{words}");
        let first = words.lines().next().unwrap_or("it said nothing").trim();
        Err(Missing::NotInstalled(format!("{self} is missing; `{install}` did not help: {first}")))
    }
}

/// What is installed at once, where one by one would take longer.
pub struct Batch {
    pub needs: Vec<Need>,
    lines: Vec<String>,
}

impl Batch {
    /// Installs it, as far as that goes.
    pub fn install(&self) {
        if self.needs.iter().any(|need| matches!(need, Need::Program(..) | Need::File(..))) {
            update_package_lists();
        }
        for line in &self.lines {
            println!("        {line}");
            let _ = command(line).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
        }
    }
}

/// What steps with these needs lack of what rustup adds, and of Debian's packages where they can be installed: both can go on at the same time.
pub fn batches(steps: impl Iterator<Item = &'static [Need]>) -> Vec<Batch> {
    let mut missing: Vec<Need> = Vec::new();
    for needs in steps {
        if needs.iter().any(|need| matches!(need, Need::Host(..)) && !need.is_met()) {
            continue;
        }
        for need in needs {
            let is_batched = matches!(need, Need::Component(..) | Need::Target(..) | Need::Program(..) | Need::File(..));
            if is_batched && !missing.contains(need) && !need.is_met() {
                missing.push(*need);
            }
        }
    }
    batches_of(missing, is_debian_as_root())
}

/// Batches of what is missing; packages only where they can be installed.
fn batches_of(missing: Vec<Need>, installs_packages: bool) -> Vec<Batch> {
    let is_package = |need: &Need| matches!(need, Need::Program(..) | Need::File(..));
    let (packages, parts): (Vec<Need>, Vec<Need>) = missing.into_iter().partition(is_package);
    let mut batches = Vec::new();
    if !packages.is_empty() && installs_packages {
        let names = packages.iter().filter_map(|need| match need {
            Need::Program(_, package) | Need::File(_, package) => Some(*package),
            _ => None,
        });
        let line = format!("{APT} {}", names.collect::<Vec<_>>().join(" "));
        batches.push(Batch { needs: packages, lines: vec![line] });
    }
    if !parts.is_empty() {
        let mut lines = Vec::new();
        for toolchain in ["nightly", "stable"] {
            let named = |pick: fn(&Need) -> Option<(&'static str, &'static str)>| {
                let names = parts.iter().filter_map(pick).filter(|(of, _)| *of == toolchain).map(|(_, name)| name);
                names.collect::<Vec<_>>().join(" ")
            };
            let components = named(|need| if let Need::Component(of, name) = need { Some((of, name)) } else { None });
            let targets = named(|need| if let Need::Target(of, name) = need { Some((of, name)) } else { None });
            if toolchain == "nightly" && !components.is_empty() && !Need::Nightly.is_met() {
                lines.push(NIGHTLY.into());
            }
            for (kind, names) in [("component", components), ("target", targets)] {
                if !names.is_empty() {
                    lines.push(format!("rustup {kind} add --toolchain {toolchain} {names}"));
                }
            }
        }
        batches.push(Batch { needs: parts, lines });
    }
    batches
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Nightly => write!(f, "nightly"),
            Need::Component(toolchain, name) => write!(f, "{name} ({toolchain})"),
            Need::Target(toolchain, triple) => write!(f, "{triple} ({toolchain})"),
            Need::Program(name, _) | Need::File(name, _) | Need::Crate(name) | Need::Prepared(name) => write!(f, "{name}"),
            Need::Host(os, arch) => write!(f, "{os} {arch}"),
        }
    }
}

/// Whether a line of what `line` prints is `word`, or `word` and a target triple or a note after it.
fn has_line(line: &str, word: &str) -> bool {
    let names_it = |found: &str| found.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ' ']));
    output_of(line).is_some_and(|output| output.lines().any(names_it))
}

/// Removes what an interrupted rustup left of a target: it installs nothing over that.
fn remove_leftovers(toolchain: &str, triple: &str) {
    let Some(root) = output_of(&format!("rustup run {toolchain} rustc --print sysroot")) else { return };
    let all = Path::new(root.trim()).join("lib/rustlib");
    println!("      removing {}, left by an interrupted rustup", all.join(triple).display());
    // Where that fails, the next attempt says what is wrong.
    let _ = std::fs::remove_dir_all(all.join(triple));
    let _ = std::fs::remove_file(all.join(format!("manifest-rust-std-{triple}")));
}

fn is_in_path(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn is_debian_as_root() -> bool {
    is_in_path("apt-get") && output_of("id -u").is_some_and(|id| id.trim() == "0")
}

/// Once in a run, `apt-get update`; where it fails the install that follows says what is wrong.
fn update_package_lists() {
    static UPDATED: Once = Once::new();
    UPDATED.call_once(|| drop(command("apt-get update -qq").stdin(Stdio::null()).output()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_installed_at_once() {
        let missing = [
            Need::Target("stable", "a"),
            Need::Program("b", "bb"),
            Need::Component("nightly", "c"),
            Need::File("/d", "dd d-"),
            Need::Target("stable", "e"),
        ];
        let batches = batches_of(missing.to_vec(), true);
        let lines: Vec<&str> = batches.iter().flat_map(|batch| batch.lines.iter().map(String::as_str)).collect();
        assert_eq!(lines[0], format!("{APT} bb dd d-"));
        let rustup: Vec<&str> =
            lines.into_iter().filter(|line| line.ends_with(" add --toolchain nightly c") || line.ends_with(" a e")).collect();
        assert_eq!(rustup, ["rustup component add --toolchain nightly c", "rustup target add --toolchain stable a e"]);
        assert_eq!(batches.iter().map(|batch| batch.needs.len()).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(batches_of(missing.to_vec(), false).len(), 1);
    }
}
