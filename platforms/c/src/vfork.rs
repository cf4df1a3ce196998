//! `vfork`, whose child may allocate.
//!
//! *Role*: stands in front of the C library's. The child borrows its parent's thread while that waits, and with it the area that the
//! parent shares with the kernel for restartable sequences. The kernel does not serve the child's sequences, and the area still says on which core
//! the parent ran. So the child puts [`NO_CORE`] there: its pops and pushes then fail, and the page bitmaps serve. The parent puts the
//! number back, if the kernel has not written the present one yet.
//!
//! *Invariants*
//! - V1: a thread whose area says [`NO_CORE`] when it calls `vfork` is a child of `vfork` itself, or has none. Its area stays as it is.
//! - V2: from `vfork`'s system call on until the child lets go of the memory, the kernel writes nothing to the area: the parent runs in the
//!   kernel, and the child has no area. So what the child finds there is what the kernel wrote last, and that is right as long as
//!   the kernel writes nothing.
//! - V3: signals are blocked from before the system call until the area is right again: no handler finds it wrong.
//!
//! The child may end at any instruction. What the two tell each other lies in a block of the heap, since the child's frames overwrite the stack.
//!
//! *Limits*: a kernel that was told to check the areas of all programs (`rseq_debug`) ends a parent whose number a child replaced.

use core::alloc::Layout;
use core::arch::naked_asm;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicI32, Ordering};

use coreheap_os::HostCores;
use libc::{ENOMEM, c_int, c_long, pid_t};

use crate::HEAP;
use crate::c::refused;
use crate::request::free;

/// In the place of a core's number: what the kernel writes for a thread that has no area.
const NO_CORE: i32 = HostCores::NO_CORE;

/// What the parent prepares, and its child finds.
struct Lent {
    /// The signals that were blocked before.
    signals: libc::sigset_t,
    /// Where the thread's area says which core it runs on.
    number: NonNull<AtomicI32>,
    /// What the area said when the child replaced it; [`NO_CORE`] until then.
    replaced: AtomicI32,
}

/// POSIX' `vfork`: a child that runs in this process's memory until it calls `exec` or ends, while this thread waits.
///
/// # Safety
/// The child does not return from the function that called this, and ends by `_exit`.
///
/// It returns first, and what it calls then overwrites the stack. So the return address is kept in a register, which is each one's own.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vfork() -> pid_t {
    naked_asm!(
        ".cfi_startproc",
        "endbr64",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {before}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "cmp rax, {refused}",
        "je 2f",
        "mov r8, rax",
        "pop r9",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_register rip, r9",
        "mov eax, {number}",
        "syscall",
        "push r9",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rip, 0",
        "mov rdi, r8",
        "mov rsi, rax",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {after}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        "2:",
        "mov eax, -1",
        "ret",
        ".cfi_endproc",
        before = sym before,
        after = sym after,
        refused = const REFUSED,
        number = const libc::SYS_vfork,
    )
}

/// POSIX' `vfork`, as on x86-64.
///
/// # Safety
/// As there.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vfork() -> pid_t {
    naked_asm!(
        ".cfi_startproc",
        "hint #34", // a landing pad for indirect calls
        "stp x29, x30, [sp, #-16]!",
        ".cfi_adjust_cfa_offset 16",
        ".cfi_rel_offset x30, 8",
        "bl {before}",
        "ldp x29, x30, [sp], #16",
        ".cfi_adjust_cfa_offset -16",
        ".cfi_restore x30",
        "cmp x0, #{refused}",
        "b.eq 2f",
        "mov x9, x0",
        "mov x0, #{flags}",
        "mov x1, xzr",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x8, #{number}",
        "svc #0",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_adjust_cfa_offset 16",
        ".cfi_rel_offset x30, 8",
        "mov x1, x0",
        "mov x0, x9",
        "bl {after}",
        "ldp x29, x30, [sp], #16",
        ".cfi_adjust_cfa_offset -16",
        ".cfi_restore x30",
        "ret",
        "2:",
        "mov w0, #-1",
        "ret",
        ".cfi_endproc",
        before = sym before,
        after = sym after,
        refused = const REFUSED,
        flags = const libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
        number = const libc::SYS_clone,
    )
}

/// `before` could not have the block.
const REFUSED: usize = 1;

/// What is to be done before the system call. Says where what was prepared lies; 0: nothing was, or [`REFUSED`].
extern "C" fn before() -> usize {
    let Some(number) = HEAP.cores().number_of_this_thread() else { return 0 };
    // SAFETY: a field of this thread's area.
    if unsafe { number.as_ref() }.load(Ordering::Relaxed) == NO_CORE {
        // V1.
        return 0;
    }
    let Some(lent) = HEAP.allocate(Layout::new::<Lent>()).map(|block| block.cast::<Lent>()) else {
        refused(ENOMEM);
        return REFUSED;
    };
    let mut all = MaybeUninit::uninit();
    let mut signals = MaybeUninit::zeroed();
    // SAFETY: two sets of signals, one filled by each call; the block is long enough, and aligned for any object that fits.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        // V3.
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), signals.as_mut_ptr());
        lent.write(Lent { signals: signals.assume_init(), number, replaced: AtomicI32::new(NO_CORE) });
    }
    lent.addr().get()
}

/// What is to be done after the system call, in the child (`result` is 0) and in the parent; returns what `vfork` returns.
///
/// # Safety
/// `lent` is what `before` returned to the parent.
unsafe extern "C" fn after(lent: *mut Lent, result: c_long) -> pid_t {
    // SAFETY: the caller's promise; while the child runs here the parent waits.
    if let Some(prepared) = unsafe { lent.as_ref() } {
        // SAFETY: a field of the area that parent and child share.
        let number = unsafe { prepared.number.as_ref() };
        let Lent { replaced, signals, .. } = prepared;
        if result == 0 {
            // In this order: should the child end in between, nothing has changed yet. V2: nobody else writes there.
            replaced.store(number.load(Ordering::Relaxed), Ordering::Relaxed);
            number.store(NO_CORE, Ordering::Relaxed);
        } else {
            // V2. One operation, since the kernel writes a new number whenever it moves this thread.
            let _ = number.compare_exchange(NO_CORE, replaced.load(Ordering::Relaxed), Ordering::Relaxed, Ordering::Relaxed);
        }
        // SAFETY: what was blocked before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, signals, null_mut()) };
        if result != 0 {
            // SAFETY: allocated by `before`; the child uses it no more.
            unsafe { free(lent.cast()) };
        }
    }
    if result < 0 {
        refused(-result as c_int);
        return -1;
    }
    result as pid_t
}
