//! Registers threads for restartable sequences where the C library does not: in programs linked statically with musl.
//!
//! *Role*: what glibc does as a thread starts is done here at the thread's first slow path. The area lies in the thread's own storage, at the same
//! distance from every thread pointer.
//!
//! *Invariants*
//! - R1: the kernel writes to a registered area whenever its thread goes on. musl unmaps the memory of a detached thread before the thread's last system
//!   call; so the registration ends before that, in a destructor of thread-specific data, which is set before the thread registers.
//! - R2: both numbers of an area that is not registered are -1, which leads to no core heap (Q3). Where the registration ends the kernel writes 0 to one of
//!   them; so no signal is handled until it is -1 again. Only the thread itself registers its area: the child of a `vfork` borrows its parent's.
//! - R3: a thread registers while it is inside no sequence. One that began before would not be restarted, and might find a number. Where a handler
//!   interrupts one, `rseq_cs` says so.
//!
//! *Limits*: a detached thread may be killed as it ends, if it uses a heap for the first time after the second round of its destructors (in a later round, or
//! in a signal handler), or if it has more filters of system calls at its end than the process had at first: then nothing can be done about its registration.

use core::arch::global_asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::instructions::{SIGNATURE, offset_of_area};
use crate::system::errno::Errno;
use crate::system::membarrier::has_filters_at_first;
use crate::system::{generation, this_thread};

/// How long an area is, in bytes: the shortest that any kernel takes.
pub const AREA_BYTES: u32 = 32;
const UNREGISTER: libc::c_int = 1;

// Weak: all copies of this crate in a program use one area, since a thread can register only one. The name says which form it has.
global_asm!(
    ".pushsection .tdata.coreheap_rseq_area_1, \"awT\", %progbits",
    ".weak coreheap_rseq_area_1",
    ".hidden coreheap_rseq_area_1",
    ".type coreheap_rseq_area_1, %object",
    ".size coreheap_rseq_area_1, 64",
    ".balign 32",
    "coreheap_rseq_area_1:",
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
    rseq_cs: AtomicU64,
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
    // First of all: a key is made at a heap's first use, and never in a signal handler, which may have interrupted the making of one.
    let Some(key) = key() else { return is_registered() };
    // R3.
    if is_registered() || area.is_closed.load(Ordering::Relaxed) != 0 || area.rseq_cs.load(Ordering::Relaxed) != 0 {
        return is_registered();
    }
    let _errno = Errno::keep();
    let is_refused = match has_filters_at_first() {
        // Nor can it be asked whose thread this is (R2).
        None => return false,
        Some(true) if !is_of_this_process() => return false,
        // R1. If a signal handler comes between and registers, this call is refused.
        // SAFETY: the area is this thread's, and stays until `end`.
        Some(true) => !set(key, FIRST_ROUND) || unsafe { libc::syscall(libc::SYS_rseq, area, AREA_BYTES, 0, SIGNATURE) } != 0,
        Some(false) => true,
    };
    if is_refused && !is_registered() {
        area.is_closed.store(1, Ordering::Relaxed);
    }
    is_registered()
}

/// Whether this is a thread of the process that registered first since the last `fork`, and not of a child that shares its memory.
fn is_of_this_process() -> bool {
    /// The number of that process, and for which generation it is: 0 for none.
    static OWNER: AtomicU64 = AtomicU64::new(0);
    // SAFETY: a plain question. The C library's function may remember an answer.
    let process = unsafe { libc::syscall(libc::SYS_getpid) } as u32;
    let (own, generation) = (u64::from(generation()) << 32 | u64::from(process), u64::from(generation()));
    let owner = OWNER.load(Ordering::Relaxed);
    if owner >> 32 != generation {
        OWNER.store(own, Ordering::Relaxed);
        return true;
    }
    owner == own
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
    /// The key and 1; 0 before, and [`NONE_LEFT`].
    static KEY: AtomicU32 = AtomicU32::new(0);
    const NONE_LEFT: u32 = u32::MAX;
    match KEY.load(Ordering::Relaxed) {
        0 => {}
        NONE_LEFT => return None,
        key => return Some(key - 1),
    }
    let mut key = 0;
    // SAFETY: a place for the key, and a function that stays.
    if unsafe { libc::pthread_key_create(&mut key, Some(end)) } != 0 {
        KEY.store(NONE_LEFT, Ordering::Relaxed);
        return None;
    }
    match KEY.compare_exchange(0, key + 1, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Some(key),
        Err(first) => {
            // SAFETY: made above, set by nobody.
            unsafe { libc::pthread_key_delete(key) };
            (first != NONE_LEFT).then(|| first - 1)
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
    // Set first: it must not register again.
    area.is_closed.store(1, Ordering::Relaxed);
    if has_filters_at_first() != Some(true) {
        return;
    }
    let (mut all, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: sets of this function's own, which the calls fill; the area is this thread's.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        if libc::syscall(libc::SYS_rseq, area, AREA_BYTES, UNREGISTER, SIGNATURE) == 0 {
            // R2.
            area.cpu_id.store(-1, Ordering::Relaxed);
            area.mm_cid.store(-1, Ordering::Relaxed);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests;
