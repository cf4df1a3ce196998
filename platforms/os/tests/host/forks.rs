//! `fork` while other threads allocate, free and purge.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use coreheap_os::HostGeometry;
use coreheap_os::coreheap::CoreLocal;

use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::{Exchange, Parcel};
use crate::support::{cases, rounds};

static EXCHANGE: Exchange<500> = Exchange::new();
static DONE: AtomicBool = AtomicBool::new(false);

/// Runs `work` in a child process, and waits until it has ended well.
fn in_child(work: impl FnOnce() -> bool) {
    // SAFETY: the child uses the heap and system calls only, and leaves without unwinding.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork");
        if child == 0 {
            // A child that hangs is killed.
            libc::alarm(30);
            // A panic must not get to the harness, which would end this thread, the child's only one, and so the child, as if all were well.
            let is_true = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
            libc::_exit(if is_true { 0 } else { 3 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0, "the child's status: {status:#x}");
    }
}

/// Works on an exchange of the child's own, as parcels in the parent's may be half moved.
fn work_in_child(seed: u64) -> bool {
    static OWN: Exchange<200> = Exchange::new();
    let mut rng = Rng::new(seed);
    OWN.work(&mut rng, rounds(3000));
    // All of the parent's parcels are here as well, as far as they were left in the exchange.
    EXCHANGE.empty();
    OWN.work(&mut rng, 100);
    OWN.empty();
    true
}

/// Whether every core heap can be had.
fn no_core_heap_is_lost() -> bool {
    let cores = HEAP.cores();
    (0..cores.core_count()).all(|core| {
        // SAFETY: `HostGeometry` is the geometry of the heap.
        unsafe { cores.slot(core).heap::<HostGeometry>().is_none() || cores.alone_on::<HostGeometry, _>(core, |_| ()).is_some() }
    })
}

extern "C" fn thread_in_child(seed: *mut libc::c_void) -> *mut libc::c_void {
    work_in_child(seed.addr() as u64);
    null_mut()
}

fn while_threads<R>(work: impl Fn(&mut Rng) -> R + Copy + Send + 'static, then: impl FnOnce()) {
    let workers: Vec<_> = (0..3)
        .map(|seed| {
            thread::spawn(move || {
                let mut rng = Rng::new(seed + 5000);
                while !DONE.load(Ordering::Relaxed) {
                    work(&mut rng);
                }
            })
        })
        .collect();
    then();
    DONE.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().expect("every parcel in order"));
    EXCHANGE.empty();
    HEAP.purge();
    HEAP.assert_valid();
}

cases! {
    fn children_of_busy_processes_allocate_and_free() {
        while_threads(|rng| EXCHANGE.work(rng, 100), || {
            for round in 0..rounds(300) {
                in_child(|| work_in_child(round as u64));
            }
        });
    }

    fn children_may_have_threads_and_children() {
        while_threads(|rng| EXCHANGE.work(rng, 100), || {
            for round in 0..rounds(100) {
                in_child(|| {
                    let threads = [0, 1, 2].map(|index| {
                        let (mut thread, seed) = (MaybeUninit::uninit(), std::ptr::without_provenance_mut(round * 10 + index));
                        // SAFETY: a function that takes a number; a thread that was made has a name.
                        unsafe {
                            assert_eq!(libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), thread_in_child, seed), 0);
                            thread.assume_init()
                        }
                    });
                    in_child(|| work_in_child(round as u64));
                    // SAFETY: threads that were started above.
                    threads.into_iter().all(|thread| unsafe { libc::pthread_join(thread, null_mut()) == 0 })
                });
            }
        });
    }

    fn core_heaps_that_were_out_come_back() {
        let warm: Vec<_> = (0..50).map(|seed| Parcel::new(100, 8, seed)).collect();
        while_threads(
            |rng| {
                EXCHANGE.work(rng, 10);
                HEAP.purge();
            },
            || {
                // Before any purge was interrupted, so that all core heaps exist.
                EXCHANGE.work(&mut Rng::new(1), 1000);
                for round in 0..rounds(300) {
                    in_child(|| {
                        let works = work_in_child(round as u64) && no_core_heap_is_lost();
                        // What was free before may have gone back by itself, and so may one of these.
                        let layout = Layout::new::<[u8; 40_000]>();
                        let gives_back = |_| {
                            let block = HEAP.allocate(layout).expect("memory");
                            // SAFETY: a block of this heap.
                            unsafe { HEAP.deallocate(block, layout) };
                            HEAP.purge() > 0
                        };
                        works && (0..20).any(gives_back)
                    });
                }
            },
        );
        warm.into_iter().for_each(Parcel::check_and_free);
    }
}
