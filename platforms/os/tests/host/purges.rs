//! Giving memory back: while others work, from threads that sleep, and by itself.

use std::alloc::Layout;
#[cfg(all(feature = "std", unix))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(all(feature = "std", unix))]
use coreheap_os::Purger;
use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::{Exchange, Parcel};
#[cfg(all(feature = "std", unix))]
use crate::support::emulator;
use crate::support::{cases, resident_bytes};

const MIB: usize = 1 << 20;

/// `bytes` of small blocks.
fn fill(bytes: usize) -> Vec<Parcel> {
    let mut rng = Rng::new(3);
    let (mut parcels, mut left) = (Vec::new(), bytes);
    while left > 0 {
        let size = 24 + rng.below(600);
        parcels.push(Parcel::new(size, 8, left as u64));
        left = left.saturating_sub(size);
    }
    parcels
}

fn empty(parcels: Vec<Parcel>) {
    parcels.into_iter().for_each(Parcel::check_and_free);
}

fn in_magazines() -> usize {
    HEAP.stats().classes().map(|class| class.in_magazines * class.block_size).sum()
}

#[cfg(all(feature = "std", unix))]
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(feature = "std")]
/// Waits until less than `bytes` are resident; false after 5 seconds.
fn falls_below(bytes: usize) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        if resident_bytes() < bytes {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

cases! {
    fn purges_while_others_work() {
        static EXCHANGE: Exchange<1000> = Exchange::new();
        static DONE: AtomicBool = AtomicBool::new(false);
        let workers: Vec<_> = (0..4)
            .map(|seed| {
                thread::spawn(move || {
                    let mut rng = Rng::new(seed);
                    while !DONE.load(Ordering::Relaxed) {
                        EXCHANGE.work(&mut rng, 100);
                    }
                })
            })
            .collect();
        let (started, mut purges, mut bytes) = (Instant::now(), 0, 0);
        while started.elapsed() < Duration::from_secs(4) {
            bytes += HEAP.purge();
            HEAP.purge_aged();
            purges += 1;
        }
        DONE.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().expect("every parcel in order"));
        EXCHANGE.empty();
        HEAP.purge();
        HEAP.assert_valid();
        println!("{purges} purges, {} MiB", bytes / MIB);
        assert!(purges > 50 && bytes > 0, "{purges} purges gave {bytes} bytes back");
    }

    fn purge_returns_memory() {
        let before = resident_bytes();
        let parcels = fill(100 * MIB);
        let filled = resident_bytes();
        assert!(filled > before + 90 * MIB, "{before} {filled}");
        empty(parcels);
        // On a slow machine some of it has gone back by itself before this.
        HEAP.purge();
        let after = resident_bytes();
        assert!(after < before + 10 * MIB, "{before} bytes before, {filled} filled, {after} after");
        assert!(HEAP.purge() < MIB, "nothing is left to give back");
    }

    fn most_goes_back_as_it_is_freed_unless_it_is_needed_again() {
        let before = HEAP.stats().committed;
        empty(fill(100 * MIB));
        let after = HEAP.stats().committed;
        assert!(after < before + 10 * MIB, "{before} bytes before, {after} after");
        let started = Instant::now();
        empty(fill(100 * MIB));
        let after = HEAP.stats().committed;
        // Soon enough that time has not made up for the first time.
        assert!(started.elapsed() > Duration::from_millis(300) || after > before + 40 * MIB, "{before} bytes before, {after} after");
        HEAP.purge();
    }

    fn a_long_block_goes_back_when_it_is_freed_or_shrinks() {
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        let before = resident_bytes();
        let long = HEAP.allocate(layout(200 * MIB)).expect("memory");
        // SAFETY: a block of this heap, of these sizes one after the other.
        unsafe {
            long.write_bytes(1, 200 * MIB);
            assert!(resident_bytes() > before + 180 * MIB);
            let shorter = HEAP.reallocate(long, layout(200 * MIB), 50 * MIB).expect("it shrinks");
            let resident = resident_bytes();
            assert!(resident < before + 80 * MIB, "{before} bytes before, {resident} with 50 MiB");
            let small = HEAP.reallocate(shorter, layout(50 * MIB), 1000).expect("it shrinks");
            assert_eq!(small.read(), 1);
            let resident = resident_bytes();
            assert!(resident < before + 30 * MIB, "{before} bytes before, {resident} with 1,000");
            HEAP.deallocate(small, layout(1000));
        }
    }

    fn purge_reaches_the_memory_of_sleeping_threads() {
        static FREED: Barrier = Barrier::new(9);
        static PURGED: Barrier = Barrier::new(9);
        let sleepers: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(|| {
                    empty(fill(8 * MIB));
                    FREED.wait();
                    PURGED.wait();
                })
            })
            .collect();
        FREED.wait();
        assert!(in_magazines() > 0);
        HEAP.purge();
        let (left, committed) = (in_magazines(), HEAP.stats().committed);
        PURGED.wait();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().expect("a sleeper"));
        // This thread's own work since has refilled a few magazines.
        assert!(left < 256 * 1024, "{left} bytes in magazines");
        assert!(committed < 16 * MIB, "{committed} bytes committed");
    }

    #[cfg(feature = "std")]
    fn an_idle_process_returns_its_memory() {
        let purger = HEAP.start_purger(Duration::from_millis(100)).expect("a thread");
        let before = resident_bytes();
        let mut parcels = fill(60 * MIB);
        assert!(resident_bytes() > before + 50 * MIB);
        // Less than half: that does not go back as it is freed.
        let most = parcels.len() / 5 * 3;
        empty(parcels.split_off(most));
        assert!(falls_below(before + 45 * MIB), "{} bytes before, {} now", before, resident_bytes());
        let stopping = Instant::now();
        purger.stop();
        assert!(stopping.elapsed() < Duration::from_secs(1), "the purger sleeps on");
        parcels.extend(fill(24 * MIB));
        empty(parcels.split_off(most));
        thread::sleep(Duration::from_millis(400));
        assert!(resident_bytes() > before + 50 * MIB, "somebody purges although the purger was stopped");
        empty(parcels);
    }

    #[cfg(all(feature = "std", unix))]
    fn an_interval_may_be_zero_or_without_end() {
        let purger = HEAP.start_purger(Duration::ZERO).expect("a thread");
        let used_before = processor_time();
        thread::sleep(Duration::from_millis(300));
        let used = processor_time() - used_before;
        purger.stop();
        assert!(used < Duration::from_millis(100), "{used:?} of a core in 300 ms");
        let purger = HEAP.start_purger(Duration::MAX).expect("a thread");
        thread::sleep(Duration::from_millis(50));
        assert!(purger.is_running(), "it panicked");
        let stopping = Instant::now();
        purger.stop();
        assert!(stopping.elapsed() < Duration::from_secs(1), "the purger sleeps on");
    }

    #[cfg(all(feature = "std", unix))]
    fn the_child_of_a_fork_has_no_purger_to_stop() {
        let purgers = [(); 2].map(|()| HEAP.start_purger(Duration::from_secs(1)).expect("a thread"));
        // SAFETY: the child uses the heap and system calls only, and leaves without unwinding.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0, "fork");
            if child == 0 {
                // A child that hangs is killed.
                libc::alarm(30);
                // A panic must not get to the harness, as in `forks`.
                let ends_well = catch_unwind(AssertUnwindSafe(|| {
                    assert!(!purgers.iter().any(Purger::is_running));
                    let [one, other] = purgers;
                    one.stop();
                    drop(other);
                    if emulator().is_some() {
                        // There a thread that a forked child starts hangs at times: one of 600 in QEMU 7.2 for 32-bit ARM, none of thousands without.
                        return;
                    }
                    let own = HEAP.start_purger(Duration::from_millis(10));
                    let own = own.expect("a thread");
                    assert!(own.is_running());
                    own.stop();
                }));
                libc::_exit(if ends_well.is_ok() { 0 } else { 3 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0, "the child's status: {status:#x}");
        }
        // It runs on in the parent.
        assert!(purgers.iter().all(Purger::is_running));
        purgers.into_iter().for_each(Purger::stop);
    }

    #[cfg(feature = "std")]
    fn a_busy_process_returns_what_has_been_free_for_long() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let purger = HEAP.start_purger(Duration::from_millis(100)).expect("a thread");
        let before = resident_bytes();
        // Large blocks: they are free at once, no magazine holds them back.
        let blocks: Vec<Vec<u8>> = (0..60).map(|byte| vec![byte as u8 + 1; MIB]).collect();
        let busy = thread::spawn(|| {
            let mut number = 0u64;
            while !DONE.load(Ordering::Relaxed) {
                number = std::hint::black_box(number.wrapping_mul(3) + 1);
            }
        });
        assert!(resident_bytes() > before + 50 * MIB);
        drop(blocks);
        let fell = falls_below(before + 10 * MIB);
        DONE.store(true, Ordering::Relaxed);
        busy.join().expect("a busy thread");
        purger.stop();
        assert!(fell, "{} bytes before, {} now", before, resident_bytes());
    }
}
