//! What a measured process does: one workload on one allocator, or bring the machine into a known state.

use std::io;
use std::time::Instant;

use coreheap_bench::peers::visit_named;
use coreheap_bench::resident::peak_kib;
use coreheap_bench::workloads::{Job, Run, WORKLOADS};
use coreheap_bench::{latency, memory};

use crate::arguments::Role;
use coreheap_bench::process::Sample;

/// Plays a role and prints what came out.
pub fn act(role: &Role) -> io::Result<()> {
    match role {
        Role::Child { workload, allocator, threads, work } => {
            let sample = workload_sample(workload, allocator, Job { threads: *threads, work: *work })?;
            println!("{}", sample.to_line());
            Ok(())
        }
        Role::Figures { case, allocator } => {
            let figures = match latency::measure(case, allocator, None) {
                Some(figures) => figures,
                None => memory::measure(case, allocator)?.unwrap_or_default(),
            };
            figures.iter().for_each(|figure| println!("{}", figure.to_line()));
            Ok(())
        }
        Role::Warm { mib } => warm(*mib),
    }
}

fn workload_sample(workload: &str, allocator: &str, job: Job) -> io::Result<Sample> {
    let workload = WORKLOADS.iter().find(|row| row.name == workload).ok_or_else(|| io::Error::other("no such workload"))?;
    let mut run = Run { workload: *workload, job };
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let operations = visit_named(allocator, &mut run).ok_or_else(|| io::Error::other("no such allocator"))?;
    Ok(Sample { cpu_seconds: cpu_seconds() - cpu, wall_seconds: wall.elapsed().as_secs_f64(), peak_kib: peak_kib()?, operations })
}

/// User and system time of this process so far, its ended threads included.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes to `time`, which is live.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Touches huge pages, so that the host of this virtual machine backs them with memory: the first touch of a page that it does not
/// back costs 20 times more, which would be counted against the allocators that use huge pages.
fn warm(mib: usize) -> io::Result<()> {
    const HUGE: usize = 2 << 20;
    let bytes = mib << 20;
    // SAFETY: a new mapping, used within its bounds, and left to the end of the process.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
        (0..bytes).step_by(HUGE).for_each(|offset| start.cast::<u8>().add(offset).write_volatile(1));
    }
    Ok(())
}
