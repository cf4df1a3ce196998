//! How much memory this process has, as the system counts it.

cfg_if::cfg_if! {
    if #[cfg(windows)] {
        use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
        use windows_sys::Win32::System::Threading::GetCurrentProcess;

        /// Most memory so far, in KiB.
        pub fn peak_kib() -> Option<u64> {
            Some(counters()?.PeakWorkingSetSize as u64 / 1024)
        }

        /// Memory now, in KiB.
        pub fn resident_kib() -> Option<u64> {
            Some(counters()?.WorkingSetSize as u64 / 1024)
        }

        fn counters() -> Option<PROCESS_MEMORY_COUNTERS> {
            let mut counters = PROCESS_MEMORY_COUNTERS::default();
            // SAFETY: a place for the answer, as big as is said.
            let is_known = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &mut counters, size_of_val(&counters) as u32) };
            (is_known != 0).then_some(counters)
        }
    } else {
        /// Most memory so far, in KiB.
        pub fn peak_kib() -> Option<u64> {
            status_kib("VmHWM")
        }

        /// Memory now, in KiB.
        pub fn resident_kib() -> Option<u64> {
            status_kib("VmRSS")
        }

        /// A line of `/proc/self/status` in KiB. `None` where the system has no such file.
        fn status_kib(name: &str) -> Option<u64> {
            let status = std::fs::read_to_string("/proc/self/status").ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        }
    }
}
