//! How much memory this process has, as the system counts it.

/// A line of `/proc/self/status` in KiB, such as `VmHWM` (most memory so far) or `VmRSS` (memory now). `None` where the system
/// has no such file.
pub fn status_kib(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
