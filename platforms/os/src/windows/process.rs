//! What the environment says, and how long the process has run.

use windows_sys::Win32::System::Environment::GetEnvironmentVariableW;
use windows_sys::core::w;

use super::last_error::LastError;

/// Whether the environment variable `COREHEAP_CORES` is this.
pub fn cores_variable_is(value: &str) -> bool {
    let _kept = LastError::keep();
    let mut found = [0u16; 16];
    // SAFETY: a name that ends with a zero, and room for as much as is said. What does not fit comes with a length that is out of range.
    let length = unsafe { GetEnvironmentVariableW(w!("COREHEAP_CORES"), found.as_mut_ptr(), found.len() as u32) };
    found.get(..length as usize).is_some_and(|found| value.encode_utf16().eq(found.iter().copied()))
}

cfg_if::cfg_if! {
    if #[cfg(feature = "std")] {
        use std::time::Duration;

        use windows_sys::Win32::Foundation::FILETIME;
        use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessTimes};

        /// How long the process's threads have run, all together.
        pub fn processor_time() -> Duration {
            let mut times = [FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 }; 4];
            let [created, ended, kernel, user] = &mut times;
            // SAFETY: four places for the answer.
            unsafe { GetProcessTimes(GetCurrentProcess(), created, ended, kernel, user) };
            // In units of 100 ns.
            let time = |time: &FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
            Duration::from_nanos((time(kernel) + time(user)) * 100)
        }
    }
}
