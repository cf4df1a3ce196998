//! How big OS pages are. On x86, 32-bit ARM and RISC-V that is known; elsewhere only the running system can tell.

/// What heaps count in. Where OS pages have no fixed size: 16 KiB, as on Apple's processors, on Android since version 15 and on some Linux. Smaller
/// ones are then committed and given back a few at a time. On Linux with pages of 64 KiB only whole ones are given back and the rest is
/// cleared: to count in those would make every page of small blocks as big.
pub const UNIT: usize = if IS_FIXED { LEAST } else { 16 << 10 };

/// The least that there is.
pub const LEAST: usize = 4 << 10;

/// Android on x86-64 may act as if its pages were of 16 KiB.
const IS_FIXED: bool = cfg!(all(
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm", target_arch = "riscv64", target_arch = "riscv32"),
    not(target_os = "android")
));

/// How big they are here.
pub fn page_size() -> usize {
    if IS_FIXED {
        return LEAST;
    }
    // SAFETY: a plain question; the answer does not change.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}
