//! Registers threads for restartable sequences where the C library does not: in programs linked statically with musl.
//!
//! *Role*: what glibc does as a thread starts is done here at the thread's first slow path. The area lies in the thread's own storage, at the same
//! distance from every thread pointer.
//!
//! *Invariants*
//! - R1: the kernel writes to a registered area whenever its thread goes on. musl unmaps the memory of a detached thread before the thread's last system
//!   call; so the registration ends before that, in a destructor of thread-specific data, which is set before the thread registers.
//! - R2: both numbers of an area that is not registered are -1, which leads to no core heap (Q3). Where the registration ends the kernel writes 0 to one of
//!   them; so no signal is handled until it is -1 again.
//!
//! *Limits*: a thread that uses a heap for the first time in its third or last round of destructors (others have set their values anew until then), and is
//! detached, may be killed as it ends.

use core::arch::global_asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::instructions::{SIGNATURE, offset_of_area};
use crate::system::errno::Errno;
use crate::system::membarrier::has_no_new_filter;
use crate::system::this_thread;

/// How long an area is, in bytes: the shortest that any kernel takes.
pub const AREA_BYTES: u32 = 32;
const UNREGISTER: libc::c_int = 1;

// Weak: all copies of this crate in a program use one area, since a thread can register only one.
global_asm!(
    ".pushsection .tdata.coreheap_rseq_area, \"awT\", %progbits",
    ".weak coreheap_rseq_area",
    ".hidden coreheap_rseq_area",
    ".type coreheap_rseq_area, %object",
    ".size coreheap_rseq_area, 64",
    ".balign 32",
    "coreheap_rseq_area:",
    ".long 0, -1",       // a core's number before sequences, the core's number
    ".quad 0",           // rseq_cs
    ".long 0, 0, -1, 0", // flags, node, mm_cid, nothing
    ".long 0",           // `is_closed`
    ".zero 28",
    ".popsection",
);

/// A thread's area, and what is kept beside it. The kernel and sequences write to it at any moment.
#[repr(C, align(32))]
struct ThreadArea {
    _start: AtomicI32,
    cpu_id: AtomicI32,
    _rseq_cs: AtomicU64,
    _flags: AtomicU32,
    _node: AtomicU32,
    mm_cid: AtomicI32,
    _end: AtomicU32,
    /// 1 once this thread must not register (again): it ends, or the kernel refused.
    is_closed: AtomicU32,
}

/// Where a thread's area lies, from the thread pointer.
pub fn area() -> isize {
    offset_of_area()
}

/// This thread's area. It is there as long as the thread runs, and the reference stays in the thread.
fn this_area() -> &'static ThreadArea {
    let address = this_thread().wrapping_add_signed(area());
    // SAFETY: the thread's own, defined above with this layout.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// Registers this thread, unless it must not be; says whether it is registered now. Not if a filter of system calls came after the process had registered
/// for barriers: it may kill for this one.
#[cold]
pub fn register_this_thread() -> bool {
    let area = this_area();
    let is_registered = || area.cpu_id.load(Ordering::Relaxed) >= 0;
    if is_registered() || area.is_closed.load(Ordering::Relaxed) != 0 {
        return is_registered();
    }
    let _errno = Errno::keep();
    // R1. If a signal handler comes between and registers, this call is refused.
    let may = has_no_new_filter() && key().is_some_and(|key| set(key, FIRST_ROUND));
    // SAFETY: the area is this thread's, and stays until `end`.
    let is_new = may && unsafe { libc::syscall(libc::SYS_rseq, area, AREA_BYTES, 0, SIGNATURE) } == 0;
    if !is_new && !is_registered() {
        area.is_closed.store(1, Ordering::Relaxed);
    }
    is_registered()
}

/// The values of the key: in which round of destructors its own is called.
const FIRST_ROUND: usize = 1;
const SECOND_ROUND: usize = 2;

fn set(key: libc::pthread_key_t, round: usize) -> bool {
    // SAFETY: a key that `key` made; the value is a number.
    unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(round)) == 0 }
}

/// The key whose destructor is [`end`]; made once.
fn key() -> Option<libc::pthread_key_t> {
    /// The key and 1; 0 before.
    static KEY: AtomicU32 = AtomicU32::new(0);
    if let Some(key) = KEY.load(Ordering::Relaxed).checked_sub(1) {
        return Some(key);
    }
    let mut key = 0;
    // SAFETY: a place for the key, and a function that stays.
    if unsafe { libc::pthread_key_create(&mut key, Some(end)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(0, key + 1, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Some(key),
        Err(first) => {
            // SAFETY: made above, set by nobody.
            unsafe { libc::pthread_key_delete(key) };
            Some(first - 1)
        }
    }
}

/// Ends this thread's registration (R1), in the second round: what destructors free in the first one is still served by sequences.
unsafe extern "C" fn end(round: *mut c_void) {
    if round.addr() == FIRST_ROUND && key().is_some_and(|key| set(key, SECOND_ROUND)) {
        return;
    }
    let _errno = Errno::keep();
    let area = this_area();
    let (mut all, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: sets of this function's own, which the calls fill; the area is the one that this thread registered.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        area.is_closed.store(1, Ordering::Relaxed);
        libc::syscall(libc::SYS_rseq, area, AREA_BYTES, UNREGISTER, SIGNATURE);
        // R2.
        area.cpu_id.store(-1, Ordering::Relaxed);
        area.mm_cid.store(-1, Ordering::Relaxed);
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests;
