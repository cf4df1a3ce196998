use std::alloc::Layout;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use super::*;
use crate::rseq::probe::probe;
use crate::{Coreheap, CoresKind};

static HEAP: Coreheap = Coreheap::new();

/// Whether threads register here, and this one is.
fn is_here() -> bool {
    let is_here = probe().is_some();
    assert!(is_here || std::env::var_os("COREHEAP_TEST_SEQUENCES").is_none(), "threads register here");
    is_here
}

fn is_registered() -> bool {
    this_area().cpu_id.load(Ordering::Relaxed) >= 0
}

/// Allocates and frees.
fn work() {
    let layout = Layout::new::<[u64; 5]>();
    for _ in 0..100 {
        let block = HEAP.allocate(layout).expect("memory");
        // SAFETY: allocated just now.
        unsafe { HEAP.deallocate(block, layout) };
    }
}

#[test]
fn a_thread_registers_when_it_first_uses_a_heap() {
    if !is_here() {
        return;
    }
    work();
    assert_eq!(HEAP.cores_kind(), CoresKind::Rseq);
    let first = || {
        assert!(!is_registered());
        work();
        assert!(is_registered());
    };
    thread::scope(|scope| scope.spawn(first).join()).expect("a thread");
}

/// R1, R2.
#[test]
fn the_registration_of_a_thread_that_ends_has_ended_for_good() {
    if !is_here() {
        return;
    }
    let ends = || {
        work();
        // SAFETY: what the C library does as the thread ends, which does no harm before.
        unsafe { end(core::ptr::without_provenance_mut(FIRST_ROUND)) };
        assert!(is_registered(), "other destructors of the first round find sequences");
        // SAFETY: as above.
        unsafe { end(core::ptr::without_provenance_mut(SECOND_ROUND)) };
        let area = this_area();
        let numbers = || (area.cpu_id.load(Ordering::Relaxed), area.mm_cid.load(Ordering::Relaxed));
        assert_eq!(numbers(), (-1, -1));
        work();
        thread::yield_now();
        assert_eq!(numbers(), (-1, -1), "it does not register again, and the kernel writes nothing");
    };
    thread::scope(|scope| scope.spawn(ends).join()).expect("a thread");
}

/// A thread's data that has a destructor in each round.
unsafe extern "C" fn in_each_round(rounds: *mut c_void) {
    work();
    if rounds.addr() > 1 {
        let key = OTHER_KEY.load(Ordering::Relaxed) as libc::pthread_key_t;
        // SAFETY: the key that was made for this.
        unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(rounds.addr() - 1)) };
    }
}

static OTHER_KEY: AtomicUsize = AtomicUsize::new(0);

/// Threads that nobody joins: their memory is unmapped while they still run. Others keep both cores busy, so that many are preempted just then.
#[test]
fn detached_threads_end_while_others_run() {
    if !is_here() {
        return;
    }
    let mut key = 0;
    // SAFETY: a place for the key.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(in_each_round)) }, 0);
    OTHER_KEY.store(key as usize, Ordering::Relaxed);
    static DONE: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !DONE.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        for started in 1..=2000 {
            thread::spawn(move || {
                // SAFETY: as above.
                unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(started % 4 + 1)) };
                work();
                ENDED.fetch_add(1, Ordering::Relaxed);
            });
            while started > ENDED.load(Ordering::Relaxed) + 8 {
                thread::yield_now();
            }
        }
        while ENDED.load(Ordering::Relaxed) < 2000 {
            thread::yield_now();
        }
        DONE.store(true, Ordering::Relaxed);
    });
    HEAP.assert_valid();
}

/// R2: the child of a `vfork` has its parent's area, and another process number.
#[test]
fn a_child_that_borrows_a_thread_does_not_register_it() {
    if !is_here() {
        return;
    }
    work();
    extern "C" fn child(_: *mut c_void) -> libc::c_int {
        work();
        i32::from(is_registered())
    }
    let borrows = || {
        let mut stack = [0u128; 4096];
        let mut status = -1;
        // SAFETY: the child runs on a stack of its own, while this thread waits.
        unsafe {
            let end = stack.as_mut_ptr().add(stack.len()).cast();
            let child = libc::clone(child, end, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, core::ptr::null_mut());
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
        }
        assert_eq!(status, 0, "the child has registered its parent's area");
        assert!(!is_registered());
        work();
        assert!(is_registered());
    };
    thread::scope(|scope| scope.spawn(borrows).join()).expect("a thread");
}

/// R3.
#[test]
fn a_handler_that_interrupts_a_sequence_does_not_register() {
    if !is_here() {
        return;
    }
    work();
    let interrupted = || {
        // As a sequence leaves it that is about to look for a number.
        this_area().rseq_cs.store(1, Ordering::Relaxed);
        assert!(!register_this_thread());
        this_area().rseq_cs.store(0, Ordering::Relaxed);
        assert!(register_this_thread());
    };
    thread::scope(|scope| scope.spawn(interrupted).join()).expect("a thread");
}

/// A process without file descriptors cannot ask for its filters: later it can.
#[test]
fn a_thread_that_cannot_register_now_may_later() {
    if !is_here() {
        return;
    }
    work();
    // SAFETY: the child runs what follows, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let most = |count| {
            let limit = libc::rlimit { rlim_cur: count, rlim_max: 1024 };
            // SAFETY: a limit of this process.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 }
        };
        let first = move || {
            let is_set = most(0);
            let was_registered = register_this_thread();
            is_set && !was_registered && most(1024) && register_this_thread()
        };
        let is_well = thread::spawn(first).join().unwrap_or(false);
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!is_well)) };
    }
    assert_eq!(status_of(child), 0);
}

fn status_of(child: libc::pid_t) -> libc::c_int {
    let mut status = -1;
    // SAFETY: a child of this process, and a place for the answer.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

/// Has the kernel kill this process for registering a thread, or for ending that.
fn forbid_registration() {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_rseq as u32) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: numbers, and a program that the kernel copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program), 0);
    }
}

#[test]
fn a_program_that_shuts_itself_in_is_not_killed_for_its_threads() {
    if !is_here() {
        return;
    }
    work();
    // SAFETY: the child runs what follows, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        static STAGE: Barrier = Barrier::new(2);
        let earlier = thread::spawn(|| {
            work();
            STAGE.wait();
            STAGE.wait();
            is_registered()
        });
        STAGE.wait();
        forbid_registration();
        STAGE.wait();
        let is_well = earlier.join().unwrap_or(false);
        let first = || {
            work();
            is_registered()
        };
        let was_registered = thread::spawn(first).join().unwrap_or(true);
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(was_registered || !is_well)) };
    }
    let status = status_of(child);
    assert_eq!(status, 0, "killed by signal {}, or registered", libc::WTERMSIG(status));
}
