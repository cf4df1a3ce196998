//! Signal handlers that allocate and free, at a high rate, in the middle of allocations and frees.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::Exchange;
use crate::support::{cases, times};

static EXCHANGE: Exchange<300> = Exchange::new();
static HANDLED: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(_: libc::c_int) {
    let count = HANDLED.fetch_add(1, Ordering::Relaxed);
    EXCHANGE.work(&mut Rng::new(count as u64), 3);
}

fn handle_signal(signal: libc::c_int) {
    // SAFETY: a handler that touches atomics and the heap only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Sends SIGALRM to this thread every 70 µs, for good.
fn start_timer_for_this_thread() {
    let every = libc::timespec { tv_sec: 0, tv_nsec: 70_000 };
    let times = libc::itimerspec { it_interval: every, it_value: every };
    // SAFETY: a valid description of an event and a timer.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer = std::mem::zeroed();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
        assert_eq!(libc::timer_settime(timer, 0, &times, std::ptr::null_mut()), 0);
    }
}

/// Sends the timer's signal to the process every so many µs of the time that `which` counts; 0 stops it.
fn set_timer(which: libc::c_uint, microseconds: libc::suseconds_t) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: a valid timer.
    assert_eq!(unsafe { libc::setitimer(which as _, &timer, std::ptr::null_mut()) }, 0);
}

/// A thread that signals can be sent to. (In some C libraries the number inside is a pointer.)
struct Thread(libc::pthread_t);

// SAFETY: a name for a thread.
unsafe impl Send for Thread {}

/// Works in `threads` threads, each of which calls `start` first, for `time`, while `disturb` goes on in this one.
fn storm<R>(threads: usize, time: Duration, start: fn(), mut disturb: impl FnMut(&[Thread]) -> R) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let workers: Vec<_> = (0..threads)
        .map(|seed| {
            let sender = sender.clone();
            thread::spawn(move || {
                start();
                // SAFETY: takes nothing.
                sender.send(Thread(unsafe { libc::pthread_self() })).expect("the receiver");
                let mut rng = Rng::new(seed as u64 + 1000);
                while !DONE.load(Ordering::Relaxed) {
                    EXCHANGE.work(&mut rng, 100);
                }
            })
        })
        .collect();
    let threads: Vec<_> = (0..threads).map(|_| receiver.recv().expect("a worker")).collect();
    let started = Instant::now();
    while started.elapsed() < time {
        disturb(&threads);
    }
    DONE.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().expect("every parcel in order"));
}

fn finish(least_handled: usize) {
    EXCHANGE.empty();
    HEAP.purge();
    HEAP.assert_valid();
    let handled = HANDLED.load(Ordering::Relaxed);
    println!("{handled} signals handled");
    assert!(handled >= times(least_handled), "only {handled} signals");
}

cases! {
    fn timers_interrupt_allocations() {
        handle_signal(libc::SIGALRM);
        handle_signal(libc::SIGPROF);
        set_timer(libc::ITIMER_REAL as _, 50);
        set_timer(libc::ITIMER_PROF as _, 100);
        storm(3, Duration::from_secs(3), start_timer_for_this_thread, |_| EXCHANGE.work(&mut Rng::new(7), 1000));
        set_timer(libc::ITIMER_REAL as _, 0);
        set_timer(libc::ITIMER_PROF as _, 0);
        finish(2000);
    }

    fn threads_interrupt_each_other() {
        handle_signal(libc::SIGUSR1);
        storm(2, Duration::from_secs(3), || (), |threads| {
            for thread in threads {
                // SAFETY: a thread that runs until `storm` ends.
                unsafe { libc::pthread_kill(thread.0, libc::SIGUSR1) };
            }
            // A signal that is still pending merges with the next one.
            let sent = Instant::now();
            while sent.elapsed() < Duration::from_micros(30) {
                std::hint::spin_loop();
            }
        });
        finish(50);
    }

    fn handlers_interrupt_purges() {
        handle_signal(libc::SIGUSR1);
        storm(1, Duration::from_secs(2), || (), |threads| {
            for _ in 0..20 {
                // SAFETY: as above; the second one interrupts this thread itself.
                unsafe {
                    libc::pthread_kill(threads[0].0, libc::SIGUSR1);
                    libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1);
                }
            }
            HEAP.purge();
        });
        finish(1000);
    }
}
