//! Runs a command to its end, collects what it prints, and measures it.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How a command ended.
pub struct Ended {
    /// None: it was ended, because it took longer than the limit.
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub output: String,
    /// The processor time that it and the processes it waited for took, where the system tells.
    pub processor: Option<Duration>,
}

/// Runs a command to its end and collects what it prints; `see` sees every line as it comes.
pub fn watch(mut command: Command, limit: Option<Duration>, mut see: impl FnMut(&str)) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    #[cfg(unix)]
    if limit.is_some() {
        // A group of its own can be ended with all that cargo started; on a terminal it would not hear Ctrl-C.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let child = command.spawn()?;
    // It holds the writing end, and reading goes on until nobody does.
    drop(command);
    let (ended, end) = mpsc::channel::<()>();
    let group = child.id();
    let watchdog = limit.map(|limit| {
        thread::spawn(move || {
            let is_late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
            }
            is_late
        })
    });
    let mut output = String::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        see(&text);
        output.push_str(&text);
        line.clear();
    }
    let (status, processor) = wait(child)?;
    drop(ended);
    let is_late = watchdog.is_some_and(|thread| thread.join().unwrap_or(false));
    Ok(Ended { status: (!is_late).then_some(status), output, processor })
}

#[cfg(unix)]
fn wait(child: Child) -> io::Result<(ExitStatus, Option<Duration>)> {
    let mut status = 0;
    // SAFETY: numbers, all of which may be 0.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: valid places for the answers; the child was not waited for.
    while unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    let status = std::os::unix::process::ExitStatusExt::from_raw(status);
    Ok((status, Some(time(usage.ru_utime) + time(usage.ru_stime))))
}

#[cfg(not(unix))]
fn wait(mut child: Child) -> io::Result<(ExitStatus, Option<Duration>)> {
    Ok((child.wait()?, None))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended_with_all_it_started() {
        let mut hanging = Command::new("sh");
        hanging.args(["-c", "echo before; sleep 600; echo after"]);
        let ended = watch(hanging, Some(Duration::from_millis(300)), |_| ()).expect("sh can be run");
        assert!(ended.status.is_none());
        assert_eq!(ended.output, "before\n");
    }

    #[test]
    fn processor_time_is_that_of_all_it_started() {
        let mut busy = Command::new("sh");
        busy.args(["-c", "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'; exit 3"]);
        let mut lines = 0;
        let ended = watch(busy, None, |_| lines += 1).expect("sh can be run");
        assert_eq!((ended.status.and_then(|status| status.code()), lines), (Some(3), 0));
        assert!(ended.processor.is_some_and(|time| time > Duration::from_millis(10)));
    }
}
