//! A library with a copy of the allocator of its own, loaded into this process.

use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::Exchange;
use crate::support::{cases, expected_kind, rounds};

type Allocate = extern "C" fn(usize) -> *mut u8;
type Free = unsafe extern "C" fn(*mut u8);
type Purge = extern "C" fn() -> usize;
type UsesRseq = extern "C" fn() -> bool;
type First = extern "C" fn() -> *mut u8;

/// The library, loaded.
#[derive(Clone, Copy)]
struct Copy {
    handle: usize,
    allocate: Allocate,
    free: Free,
    purge: Purge,
    uses_rseq: UsesRseq,
    first: First,
}

/// Builds `tests/second-copy` with the cargo that runs this test; returns the library's path.
fn build() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args("rustc --quiet --offline --package coreheap-os --example second_copy --crate-type cdylib".split(' '));
    command.args(["--message-format", "json", "--target-dir"]).arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/second-copy"));
    command.args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] });
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    let messages = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let end = messages.find("libsecond_copy.so\"").expect("a library among the files") + "libsecond_copy.so".len();
    let start = messages[..end].rfind('"').expect("a quoted path") + 1;
    PathBuf::from(&messages[start..end])
}

impl Copy {
    fn load(path: &CString) -> Self {
        // SAFETY: the library that was built for this test, whose functions have these types.
        unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!handle.is_null(), "{path:?}");
            let find = |name: &std::ffi::CStr| -> *mut c_void {
                let found = libc::dlsym(handle, name.as_ptr());
                assert!(!found.is_null(), "{name:?}");
                found
            };
            Copy {
                handle: handle.expose_provenance(),
                allocate: std::mem::transmute::<*mut c_void, Allocate>(find(c"second_allocate")),
                free: std::mem::transmute::<*mut c_void, Free>(find(c"second_free")),
                purge: std::mem::transmute::<*mut c_void, Purge>(find(c"second_purge")),
                uses_rseq: std::mem::transmute::<*mut c_void, UsesRseq>(find(c"second_uses_rseq")),
                first: std::mem::transmute::<*mut c_void, First>(find(c"second_first")),
            }
        }
    }

    /// Unloads the library; checks that it is gone.
    fn unload(self, path: &CString) {
        // SAFETY: nobody is inside the library any more.
        unsafe {
            assert_eq!(libc::dlclose(std::ptr::with_exposed_provenance_mut(self.handle)), 0);
            assert!(libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD).is_null(), "the library is still here");
        }
    }

    /// Takes blocks from this copy and from the program's heap in turn, checks what is in them, and frees them.
    fn work(self, exchange: &Exchange<500>, seed: u64, operations: usize) {
        let mut rng = Rng::new(seed);
        let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
        for operation in 0..operations {
            let (size, byte) = (1 + rng.below(3000), operation as u8);
            let block = (self.allocate)(size);
            assert!(!block.is_null());
            assert!(HEAP.usable_size(block).is_none(), "one block in two heaps");
            // SAFETY: a fresh block of that size.
            unsafe { block.write_bytes(byte, size) };
            held.push((block, size, byte));
            exchange.work(&mut rng, 1);
            if held.len() > 100 {
                let (block, size, byte) = held.swap_remove(rng.below(held.len()));
                self.check_and_free(block, size, byte);
            }
        }
        held.into_iter().for_each(|(block, size, byte)| self.check_and_free(block, size, byte));
    }

    fn check_and_free(self, block: *mut u8, size: usize, byte: u8) {
        // SAFETY: a block of this copy, used no more.
        unsafe {
            let bytes = std::slice::from_raw_parts(block, size);
            assert!(bytes.iter().all(|found| *found == byte), "{size} bytes at {block:?}");
            (self.free)(block);
        }
    }
}

cases! {
    fn a_constructor_may_wait_for_the_thread_that_allocates_first() {
        let path = CString::new(build().into_os_string().into_encoded_bytes()).expect("a path");
        let copy = Copy::load(&path);
        let first = (copy.first)();
        assert!(!first.is_null());
        assert_eq!((copy.uses_rseq)(), expected_kind() == coreheap_os::CoresKind::Rseq);
        // SAFETY: a block of this copy, used no more.
        unsafe { (copy.free)(first) };
        copy.unload(&path);
    }

    fn two_copies_in_one_process() {
        static EXCHANGE: Exchange<500> = Exchange::new();
        let path = CString::new(build().into_os_string().into_encoded_bytes()).expect("a path");
        let copy = Copy::load(&path);
        let workers: Vec<_> =
            (0..4).map(|seed| thread::spawn(move || copy.work(&EXCHANGE, seed, rounds(500_000)))).collect();
        for _ in 0..20 {
            (copy.purge)();
            HEAP.purge();
        }
        workers.into_iter().for_each(|worker| worker.join().expect("every block in order"));
        assert_eq!((copy.uses_rseq)(), expected_kind() == coreheap_os::CoresKind::Rseq);
        EXCHANGE.empty();
        copy.unload(&path);
        HEAP.assert_valid();
    }

    fn a_copy_may_be_unloaded_while_threads_that_used_it_live_on() {
        static EXCHANGE: Exchange<500> = Exchange::new();
        let path = CString::new(build().into_os_string().into_encoded_bytes()).expect("a path");
        // Workers that go on while libraries come and go under them.
        static COPY: Mutex<Option<Copy>> = Mutex::new(None);
        static LEFT: AtomicUsize = AtomicUsize::new(0);
        const WORKERS: usize = 2;
        static START: Barrier = Barrier::new(WORKERS + 1);
        let workers: Vec<_> = (0..WORKERS as u64)
            .map(|seed| {
                thread::spawn(move || {
                    let mut rng = Rng::new(seed);
                    loop {
                        START.wait();
                        let Some(copy) = *COPY.lock().expect("no panic") else { break };
                        copy.work(&EXCHANGE, seed, 300);
                        // The last sequence is the library's, and the heap is not called while the library goes: whatever the
                        // system still knows of that sequence, it must not look at it any more when it interrupts this thread.
                        // SAFETY: a block of this copy, used no more.
                        unsafe { (copy.free)((copy.allocate)(10)) };
                        LEFT.fetch_add(1, Ordering::Release);
                        let until = Instant::now() + Duration::from_millis(8);
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                        EXCHANGE.work(&mut rng, 100);
                    }
                })
            })
            .collect();
        for _ in 0..rounds(150) {
            let copy = Copy::load(&path);
            *COPY.lock().expect("no panic") = Some(copy);
            LEFT.store(0, Ordering::Relaxed);
            START.wait();
            while LEFT.load(Ordering::Acquire) < WORKERS {
                thread::yield_now();
            }
            copy.unload(&path);
        }
        *COPY.lock().expect("no panic") = None;
        START.wait();
        // SAFETY: the handlers that the library registered for forks went with it.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(0);
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
        workers.into_iter().for_each(|worker| worker.join().expect("every parcel in order"));
        EXCHANGE.empty();
        HEAP.assert_valid();
    }
}
