//! Starts processes, and reads what they used.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that takes longer is ended, and its run counts as failed.
const LIMIT_SECONDS: u32 = 120;

/// What one run used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Elapsed time.
    pub wall_seconds: f64,
    /// The most memory that was resident at a time.
    pub peak_kib: u64,
    /// What the workload counts, 0 if it does not.
    pub operations: u64,
}

impl Sample {
    /// The form in which a child hands it to the runner.
    pub fn to_line(self) -> String {
        format!("{} {} {} {}", self.cpu_seconds, self.wall_seconds, self.peak_kib, self.operations)
    }

    /// The opposite of [`to_line`](Self::to_line).
    pub fn from_line(line: &str) -> Option<Sample> {
        let mut words = line.split_whitespace();
        let cpu_seconds = words.next()?.parse().ok()?;
        let wall_seconds = words.next()?.parse().ok()?;
        let peak_kib = words.next()?.parse().ok()?;
        let operations = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Sample { cpu_seconds, wall_seconds, peak_kib, operations })
    }
}

/// A process that ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// User and system time, those of its own children included.
    pub cpu_seconds: f64,
    /// Its peak, or that of its biggest child.
    pub peak_kib: u64,
}

/// Starts a process that ends by itself after a while, whatever it does.
pub fn start(command: &mut Command) -> io::Result<Child> {
    // SAFETY: `alarm` may be called between `fork` and `exec`. The clock runs on in the new program.
    // That there is something to do before `exec` has a second use: the child is forked and not `vfork`ed, whose peak would start
    // with this process' own.
    unsafe {
        command.pre_exec(|| {
            libc::alarm(LIMIT_SECONDS);
            Ok(())
        });
    }
    command.spawn()
}

/// Waits for a process, and for what it used.
pub fn wait(child: Child) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: plain data, for which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are live. Nobody else waits for this child, so that its number is still its own.
    let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    if ended < 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Ended {
        status: ExitStatus::from_raw(status),
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_kib: usage.ru_maxrss as u64,
    })
}

/// Runs this program in a role; the result is what it prints.
pub fn own_child(role: &[&str], env: &[(&str, &str)]) -> io::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(role).envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = start(&mut command)?;
    let mut output = String::new();
    child.stdout.take().expect("it was asked for").read_to_string(&mut output)?;
    let ended = wait(child)?;
    if ended.status.success() { Ok(output) } else { Err(io::Error::other(ended.status.to_string())) }
}

/// Has a throw-away process touch huge pages before a measurement. A machine that has none is not helped, and not hurt.
pub fn warm(mib: usize) {
    if mib > 0 {
        let _ = own_child(&["warm", &mib.to_string()], &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_through_a_line() {
        let sample = Sample { cpu_seconds: 0.25, wall_seconds: 1.5, peak_kib: 4096, operations: 7 };
        assert_eq!(Sample::from_line(&sample.to_line()), Some(sample));
        assert_eq!(Sample::from_line("1 2"), None);
    }

    #[test]
    fn usage_is_that_of_the_child() {
        let child = start(Command::new("sh").args(["-c", "exit 3"])).expect("there is a shell");
        let ended = wait(child).expect("it ends");
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.peak_kib > 0 && ended.cpu_seconds < 10.0);
    }
}
