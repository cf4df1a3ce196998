//! Processes and threads that the C library knows nothing of: the child of a `vfork`, and threads made by the raw `clone` system call. They use the
//! heap as the crate's documentation says that they may: without restartable sequences.

use std::alloc::{GlobalAlloc, Layout};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_os::{Coreheap, CoresKind};
use coreheap_tests::parcel::{self, Home};
use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::support::{cases, emulator, rounds};

/// What makes a thread, and not a process.
const THREAD: libc::c_int =
    libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_SYSVSEM;
const STACK_WORDS: usize = 1 << 16;

/// The program's heap if it does without sequences, else one that was told to.
fn heap() -> &'static Coreheap {
    static PORTABLE: Coreheap = Coreheap::new();
    if HEAP.cores_kind() != CoresKind::Rseq {
        return &HEAP;
    }
    assert!(PORTABLE.use_portable_cores());
    &PORTABLE
}

/// Parcels in [`heap`].
struct Portable;

// SAFETY: the heap is a `GlobalAlloc`.
unsafe impl Home for Portable {
    fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: parcels are not empty.
        unsafe { heap().alloc(layout) }
    }

    unsafe fn dealloc(block: *mut u8, layout: Layout, seed: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            if seed.is_multiple_of(2) {
                heap().deallocate_unsized(block);
            } else {
                heap().dealloc(block, layout);
            }
        }
    }
}

type Parcel = parcel::Parcel<Portable>;

static EXCHANGE: parcel::Exchange<Portable, 300> = parcel::Exchange::new();
/// How many of the parcels that it found the other side has freed.
static FREED: AtomicUsize = AtomicUsize::new(0);

/// Puts parcels into the exchange, and takes others out.
fn work(seed: usize, operations: usize) -> usize {
    EXCHANGE.work(&mut Rng::new(seed as u64), operations)
}

/// What the other side does. A panic does not leave it: it ends the process.
extern "C" fn work_beside(seed: *mut libc::c_void) -> libc::c_int {
    FREED.fetch_add(work(seed.addr(), 500), Ordering::Relaxed);
    0
}

extern "C" fn child_of_vfork(seed: *mut libc::c_void) -> libc::c_int {
    work_beside(seed);
    // SAFETY: ends this process, which the system tells from its parent.
    unsafe { libc::_exit(0) }
}

extern "C" fn raw_thread(seed: *mut libc::c_void) -> libc::c_int {
    work_beside(seed);
    // SAFETY: ends this thread only, which owns nothing.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended");
}

fn stack() -> Vec<MaybeUninit<u128>> {
    vec![MaybeUninit::uninit(); STACK_WORDS]
}

/// Runs a child that borrows this thread and this memory, until it has ended.
fn run_child_of_vfork(seed: usize) {
    let mut stack = stack();
    let argument = std::ptr::without_provenance_mut(seed);
    // SAFETY: the child has a stack of its own, and this thread waits until it has ended; it uses the heap, and then ends by `_exit`.
    unsafe {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let child = libc::clone(child_of_vfork, stack.as_mut_ptr_range().end.cast(), flags, argument);
        assert!(child > 0, "clone: {}", std::io::Error::last_os_error());
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0, "the child's status: {status:#x}");
    }
}

/// Runs a thread with this thread pointer, or its maker's, beside this one, which works meanwhile; false if the C library makes no such threads.
fn run_raw_thread(seed: usize, thread_pointer: Option<*mut usize>) -> bool {
    let (mut stack, lives) = (stack(), AtomicI32::new(1));
    let own = if thread_pointer.is_some() { libc::CLONE_SETTLS } else { 0 };
    let (argument, pointer) = (std::ptr::without_provenance_mut(seed), thread_pointer.unwrap_or(null_mut()));
    // SAFETY: the thread has a stack of its own, and leaves it before the system sets the number to 0, which is waited for. It uses the heap and
    // system calls only.
    let made = unsafe {
        let flags = THREAD | libc::CLONE_CHILD_CLEARTID | own;
        libc::clone(
            raw_thread,
            stack.as_mut_ptr_range().end.cast(),
            flags,
            argument,
            null_mut::<libc::pid_t>(),
            pointer,
            lives.as_ptr(),
        )
    };
    let error = std::io::Error::last_os_error();
    if made < 0 && cfg!(target_env = "musl") && error.raw_os_error() == Some(libc::EINVAL) {
        println!("skipped: musl's clone makes no threads");
        return false;
    }
    assert!(made > 0, "clone: {error}");
    let started = Instant::now();
    let mut round = 0;
    while lives.load(Ordering::Acquire) != 0 {
        round += 1;
        work(seed + round * 1_000_000, 10);
        if started.elapsed() > Duration::from_secs(100) {
            // The stack is the thread's still.
            std::mem::forget(stack);
            panic!("the thread hangs");
        }
    }
    true
}

/// Runs `other_side` many times, between allocations here and beside blocks that stay.
fn beside_blocks_of_ours(mut other_side: impl FnMut(usize) -> bool) {
    let rng = &mut Rng::new(1);
    let mut ours: Vec<_> = (0..2000).map(|_| Parcel::random(rng)).collect();
    let rounds = rounds(200);
    for round in 0..rounds {
        work(round, 200);
        if !other_side(round + 1000) {
            break;
        }
        work(round + 2000, 200);
        ours.extend((0..50).map(|_| Parcel::random(rng)));
        ours.iter().for_each(Parcel::check);
        heap().assert_valid();
    }
    ours.into_iter().for_each(Parcel::check_and_free);
    EXCHANGE.empty();
    heap().purge();
    heap().assert_valid();
    assert_eq!(heap().stats().misuses, 0);
    println!("{:?}: {} freed by the other side in {rounds} rounds", heap().cores_kind(), FREED.load(Ordering::Relaxed));
}

/// A thread's own record, as far as the heap and system calls need one: all zero, but that it knows where it lies. The thread pointer shows into
/// the middle, since some systems keep things before it and some behind it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn thread_pointer_in(record: &mut [usize; 8192]) -> *mut usize {
    let middle = record.len() / 2;
    let pointer = &raw mut record[middle];
    // The x86-64 ABI wants it in the first word, C libraries in the third.
    record[middle] = pointer.addr();
    record[middle + 2] = pointer.addr();
    record.as_mut_ptr().wrapping_add(middle)
}

cases! {
    fn children_of_vfork_allocate_and_free() {
        // Those for single programs make a process of it that has memory of its own.
        if emulator().is_some_and(|name| !name.is_empty()) {
            return println!("skipped: emulators know no vfork");
        }
        beside_blocks_of_ours(|round| {
            run_child_of_vfork(round);
            true
        });
        assert!(FREED.load(Ordering::Relaxed) > 100, "the child had nothing to do");
    }

    fn children_of_vfork_allocate_and_free_beside_threads() {
        if emulator().is_some_and(|name| !name.is_empty()) {
            return println!("skipped: emulators know no vfork");
        }
        static DONE: AtomicUsize = AtomicUsize::new(0);
        let threads = [1, 2].map(|index| thread::spawn(move || {
            for round in (index..).step_by(2).take_while(|_| DONE.load(Ordering::Relaxed) == 0) {
                work(round, 100);
            }
        }));
        // The whole is looked at when they have ended.
        for round in 0..rounds(200) {
            work(round, 100);
            run_child_of_vfork(round + 1000);
        }
        DONE.store(1, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("every parcel in order"));
        beside_blocks_of_ours(|_| false);
        assert!(FREED.load(Ordering::Relaxed) > 100, "the child had nothing to do");
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    fn raw_threads_with_a_thread_pointer_allocate_and_free() {
        let mut record = Box::new([0; 8192]);
        let pointer = thread_pointer_in(&mut record);
        beside_blocks_of_ours(|round| run_raw_thread(round, Some(pointer)));
    }

    fn raw_threads_without_a_thread_pointer_allocate_and_free_where_there_are_marks() {
        if heap().cores_kind() == CoresKind::Marks {
            beside_blocks_of_ours(|round| run_raw_thread(round, None));
        }
    }
}
