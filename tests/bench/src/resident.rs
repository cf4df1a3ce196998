//! How much memory this process has, as Linux counts it.

use std::io;

/// The most that was resident at a time, in KiB.
pub fn peak_kib() -> io::Result<u64> {
    line("/proc/self/status", "VmHWM:")
}

/// What is resident now, in KiB: counted page by page, while the quick counter may be some hundred KiB off.
pub fn now_kib() -> io::Result<u64> {
    line("/proc/self/smaps_rollup", "Rss:")
}

fn line(file: &str, label: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("{file} has no line {label}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_there() {
        // Seen by others, or an optimised build would not make it at all.
        let bytes = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(now_kib().expect("this is Linux") >= 60 << 10);
        assert!(peak_kib().expect("this is Linux") >= 60 << 10);
        drop(std::hint::black_box(bytes));
    }
}
