//! A thread that gives idle memory back, for processes that have threads anyway.
//!
//! *Role*: a heap gives memory back when it is used; this does it for a process that falls idle with free memory in pages that are not empty, and in
//! magazines of other cores. It starts by itself, from a call that allocates, in a process of several threads whose heap has had [`LEAST`] bytes
//! or more. A process of one thread never has it: there it would be seen. The C library's own functions are slower once there is a
//! second thread, `unshare` and `setns` may be refused, and languages warn when such a process forks.
//!
//! It is named `coreheap-purger`, blocks all signals, and runs for good. The environment variable `COREHEAP_PURGER=off`, [`coreheap_purger`], or a build without
//! the feature `purger` keep it from starting. The child of a `fork` starts one of its own by the same rule.
//!
//! *Contexts*: starting a thread takes locks of the C library that are free in any call that allocates, but not in all that free: the C library frees what it
//! kept of ended threads under one of them.
//!
//! *Invariant* G1: `OWNER` is the process whose purger runs or is being started, or 0. Who changes it to this process's number starts the thread.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use coreheap_os::{IdleWatch, variable_is};

use crate::HEAP;

/// A process that never used so many bytes keeps what it has.
const LEAST: usize = 16 << 20;
/// So often it looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Of its stack. Giving memory back takes some KiB; the C library has data of its own for each thread there.
const STACK_SIZE: usize = 256 << 10;

static OWNER: AtomicI32 = AtomicI32::new(0);
static IS_OFF: AtomicBool = AtomicBool::new(false);
/// What [`age`] was when this was last considered.
static SEEN: AtomicUsize = AtomicUsize::new(0);

/// Starts the purger if it is time for one. Not inside a call that frees.
#[inline]
pub fn consider() {
    let age = age();
    if age != SEEN.load(Relaxed) {
        consider_now(age);
    }
}

/// Changes when the heap has grown by [`LEAST`], and while memory is freed twice a second.
#[inline]
fn age() -> usize {
    HEAP.next_purge_ms().wrapping_add(HEAP.peak() / LEAST)
}

#[cold]
fn consider_now(age: usize) {
    SEEN.store(age, Relaxed);
    if HEAP.peak() < LEAST || IS_OFF.load(Relaxed) || variable_is("COREHEAP_PURGER", "off") {
        return;
    }
    // SAFETY: takes nothing.
    let process = unsafe { libc::getpid() };
    let owner = OWNER.load(Relaxed);
    let is_claimed = owner != process && has_threads() && OWNER.compare_exchange(owner, process, Relaxed, Relaxed).is_ok();
    if is_claimed && !start() {
        // Perhaps later.
        OWNER.store(0, Relaxed);
    }
}

/// Whether this process has more threads than one, as the system counts them.
fn has_threads() -> bool {
    let mut tasks = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a constant name, and a place for the answer, which is there if 0 comes back.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        let is_known = libc::stat(c"/proc/self/task".as_ptr(), tasks.as_mut_ptr()) == 0;
        *errno = kept;
        // A folder for each, and two names for itself.
        is_known && tasks.assume_init_ref().st_nlink > 3
    }
}

fn start() -> bool {
    let mut attributes = MaybeUninit::uninit();
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let mut thread = MaybeUninit::uninit();
    // SAFETY: each is set before it is used; the thread begins with the signals that are blocked here.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return false;
        }
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK_SIZE);
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), look_after, null_mut());
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error == 0
    }
}

extern "C" fn look_after(_: *mut c_void) -> *mut c_void {
    let interval = libc::timespec { tv_sec: INTERVAL.as_secs() as libc::time_t, tv_nsec: 0 };
    // SAFETY: a name of less than 16 bytes.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), c"coreheap-purger".as_ptr()) };
    let mut watch = IdleWatch::start();
    while !IS_OFF.load(Relaxed) {
        // SAFETY: a length of time.
        unsafe { libc::nanosleep(&interval, null_mut()) };
        watch.look_after(&HEAP, INTERVAL);
    }
    OWNER.store(0, Relaxed);
    null::<c_void>().cast_mut()
}

/// Whether memory is given back in the background, if it is to be: 0 ends the purger within a second and keeps it from starting, another number lets it start
/// when it is time. Returns what was set before.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn coreheap_purger(is_wanted: c_int) -> c_int {
    (!IS_OFF.swap(is_wanted == 0, Relaxed)).into()
}
