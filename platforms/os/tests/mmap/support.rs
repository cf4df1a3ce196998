//! What several tests need, and how they look at memory.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use coreheap_os::Mmap;
use coreheap_os::coreheap::{PageSource, Region, RegionRequest};

pub const MIB: usize = 1 << 20;

/// How big the OS's pages are.
pub fn page() -> usize {
    // SAFETY: a plain question.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

pub fn request(preferred_size: usize) -> RegionRequest {
    RegionRequest { min_size: page(), preferred_size, preferred_align: page(), is_for_one_block: false }
}

pub fn reserve(source: &Mmap, size: usize) -> Region {
    let region = source.reserve(request(size)).expect("address space");
    assert!(region.size >= size);
    region
}

/// How many pages of a range are in RAM, or `None` if a part of it is not mapped at all.
pub fn resident_pages(start: NonNull<u8>, size: usize) -> Option<usize> {
    // QEMU answers in the pages of its own system.
    let unit = if is_emulated() { 4096 } else { page() };
    let mut units = vec![0u8; size / unit];
    // SAFETY: room for one byte a page.
    let result = unsafe { libc::mincore(start.as_ptr().cast(), size, units.as_mut_ptr()) };
    (result == 0).then(|| units.iter().filter(|unit| **unit & 1 == 1).count() * unit / page())
}

/// Whether the byte can be read; asks the system to read it.
pub fn is_accessible(byte: NonNull<u8>) -> bool {
    let mut ends = [0; 2];
    // SAFETY: the system checks the address.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let written = libc::write(ends[1], byte.as_ptr().cast(), 1);
        libc::close(ends[0]);
        libc::close(ends[1]);
        written == 1
    }
}

/// The line of `/proc/self/smaps` that begins with `field`, of the mapping that holds this address.
pub fn smaps(address: NonNull<u8>, field: &str) -> String {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("Linux");
    let mut inside = false;
    for line in smaps.lines() {
        let mut ends = line.split(' ').next().unwrap_or("").split('-').map(|end| usize::from_str_radix(end, 16));
        if let (Some(Ok(start)), Some(Ok(end))) = (ends.next(), ends.next()) {
            inside = (start..end).contains(&address.addr().get());
        } else if inside && line.starts_with(field) {
            return line[field.len()..].trim().to_string();
        }
    }
    panic!("no {field} at {address:?}");
}

pub fn minor_faults() -> libc::c_long {
    // SAFETY: a valid place for the answer.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage.ru_minflt
    }
}

/// Runs `work` in a child process that may change its limits; true if it returned true.
pub fn in_child(work: impl FnOnce() -> bool) -> bool {
    forked(|is_child| is_child && work())
}

/// Runs `work` as [`in_child`] does, in a child that may map so many bytes more than it has mapped.
pub fn under_limit(bytes: usize, work: impl FnOnce() -> bool) -> bool {
    in_child(|| {
        let used: usize = {
            // SAFETY: a valid place for the answer, as big as is said.
            unsafe {
                let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY);
                let mut text = [0u8; 64];
                libc::read(file, text.as_mut_ptr().cast(), text.len());
                text.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + (digit - b'0') as usize)
                    * page()
            }
        };
        let limit = libc::rlimit { rlim_cur: (used + bytes) as _, rlim_max: (used + bytes) as _ };
        // SAFETY: a limit for this process.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) == 0 && work() }
    })
}

/// Runs `release` here, and in a child process; true if this range is not mapped in that one any more. Here another thread may map it again at once.
pub fn unmaps(start: NonNull<u8>, size: usize, release: impl FnOnce()) -> bool {
    forked(|is_child| {
        release();
        is_child && resident_pages(start, size).is_none()
    })
}

/// Runs `work` here and in a child process, and tells it where; true if it returned true in the child.
fn forked(work: impl FnOnce(bool) -> bool) -> bool {
    // SAFETY: the child makes system calls only and leaves without unwinding.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            // A panic must not get to the harness, which would end this thread, the child's only one, and so the child, as if all were well.
            let is_true = catch_unwind(AssertUnwindSafe(|| work(true))).unwrap_or(false);
            libc::_exit(if is_true { 0 } else { 1 });
        }
        work(false);
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status == 0
    }
}

/// Whether this runs in an emulator: who starts it says so.
pub fn is_emulated() -> bool {
    std::env::var_os("COREHEAP_TEST_EMULATOR").is_some()
}

/// Says that a test cannot show here what it is for.
pub fn skip(why: &str) {
    println!("skipped: {why}");
}
