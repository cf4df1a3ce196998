//! A thread that gives idle memory back, for programs that ask for it.
//!
//! *Role*: the heap gives memory back as it is used, and most of it as it is freed. What is left are free blocks in pages that are not empty, and in
//! magazines that were filled since. A thread that looks once a second gives these back while the process is idle. It is started before `main` if the
//! environment variable `COREHEAP_PURGER` is `on`, or by [`coreheap_purger`]. It never starts by itself, for two reasons:
//! - To start a thread takes locks of the C library. A signal handler that calls `malloc` may have interrupted their owner, and would wait for ever.
//! - A process of one thread would have two: its C library is slower then, `unshare` and `setns` are refused, and languages warn when it forks.
//!
//! The thread is named `coreheap-purger` and blocks all signals. A process whose own threads have all ended ends as it would without it. The child of a `fork` has
//! none, and may start one. It makes system calls that the program may not make itself: where these are filtered, do without it.
//!
//! *Invariant* G1: `OWNER` is the generation of the process, counted by forks, whose purger runs or is being started, or 0. Who changes it to this process's
//! starts the thread, or is the thread.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use core::time::Duration;

use coreheap_os::{IdleWatch, generation, read_start, variable_is};
use libc::EAGAIN;

use crate::HEAP;

/// So often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

static OWNER: AtomicU32 = AtomicU32::new(0);
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Starts the purger if the environment says so. Before the program runs: later the environment may change at any moment.
pub fn start_if_asked_for() {
    if variable_is("COREHEAP_PURGER", "on") {
        coreheap_purger(1);
    }
}

/// Has memory given back in the background: 1 starts the purger in this process unless it runs, 0 ends it within a second. Returns 0, or
/// what `pthread_create` says. One caller at a time; not for signal handlers.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn coreheap_purger(is_wanted: c_int) -> c_int {
    IS_WANTED.store(is_wanted != 0, SeqCst);
    let process = generation();
    if is_wanted == 0 || OWNER.swap(process, SeqCst) == process {
        return 0;
    }
    let error = start();
    if error != 0 {
        OWNER.store(0, SeqCst);
    }
    error
}

fn start() -> c_int {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let (mut attributes, mut thread) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: each is set before it is used; the thread begins with the signals that are blocked here.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return EAGAIN;
        }
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), look_after, null_mut());
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    }
}

extern "C" fn look_after(nothing: *mut c_void) -> *mut c_void {
    let interval = libc::timespec { tv_sec: INTERVAL.as_secs() as libc::time_t, tv_nsec: 0 };
    // SAFETY: a name of less than 16 bytes.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), c"coreheap-purger".as_ptr()) };
    let mut watch = IdleWatch::start();
    loop {
        // SAFETY: a length of time.
        unsafe { libc::nanosleep(&interval, null_mut()) };
        if is_left_alone() {
            // The program's last handlers run on this thread.
            return with_signals(nothing);
        }
        if IS_WANTED.load(SeqCst) {
            watch.look_after(&HEAP, INTERVAL);
            continue;
        }
        OWNER.store(0, SeqCst);
        // Who wanted a purger again before that left it to this one.
        let process = generation();
        if !IS_WANTED.load(SeqCst) || OWNER.compare_exchange(0, process, SeqCst, SeqCst).is_err() {
            return nothing;
        }
    }
}

/// `nothing`, with no signal blocked.
fn with_signals(nothing: *mut c_void) -> *mut c_void {
    let mut none = MaybeUninit::uninit();
    // SAFETY: set before it is used.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), null_mut());
    }
    nothing
}

/// Whether all threads of the program have ended, its first one by `pthread_exit`: then the process ends with this one.
fn is_left_alone() -> bool {
    let mut room = [0; 512];
    let stat = read_start(c"/proc/self/stat", &mut room);
    state_and_threads(stat).is_some_and(|(state, threads)| state == b'Z' && threads <= 2)
}

/// The state of a process's first thread, and how many threads there are, by what `/proc/self/stat` says. The name before them may have any characters.
fn state_and_threads(stat: &[u8]) -> Option<(u8, usize)> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    // The 3rd and the 20th field; the name is the 2nd.
    let mut fields = stat.get(behind_name..)?.split(|byte| *byte == b' ').skip(1);
    let state = *fields.next()?.first()?;
    let threads = core::str::from_utf8(fields.nth(16)?).ok()?.parse().ok()?;
    Some((state, threads))
}
