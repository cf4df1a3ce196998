//! The [coreheap](coreheap_os::coreheap) allocator for programs in C and C++: `malloc` and its family, `operator new` and
//! `operator delete`.
//!
//! ```sh
//! cargo build --release -p coreheap-c
//! LD_PRELOAD=$PWD/target/release/libcoreheap_c.so program
//! ```
//!
//! *Role*: the port for programs that are not Rust's and know nothing of coreheap. It adds to [`coreheap_os`] the names, return values
//! and `errno` of C, POSIX, glibc and the C++ standard, nothing else. Programs may also be linked with `libcoreheap_c.a`, before the C
//! library.
//!
//! | file | what it is |
//! |---|---|
//! | `request.rs` | from what C asks for to what the heap is asked for |
//! | `c.rs` | the functions of C, POSIX and glibc |
//! | `glibc_names.rs` | glibc's second names for them |
//! | `report.rs` | glibc's functions that tell about the heap |
//! | `cpp_library.rs` | what the operators of C++ need of a C++ library, wherever it is |
//! | `cpp.rs` | the operators of C++ |
//! | `purger.rs` | a thread that gives idle memory back, if asked for |
//! | `start.rs` | what is better done before the program runs |
//! | `vfork.rs` | `vfork`, whose child may allocate |
//!
//! # What is guaranteed
//!
//! - Every block is aligned for any object that fits in it: at 8 bytes if it was asked for with at most 8 bytes, else at 16. C asks
//!   for no more (an object of 16 bytes' alignment has at least 16 bytes). It is what jemalloc and mimalloc do; glibc gives 16 always.
//! - Sizes that no machine has memory for are refused at once: from 64 TiB on, the alignment added; on 32-bit systems beyond `PTRDIFF_MAX`. What is refused gets null and `ENOMEM`, but for the functions that say otherwise.
//! - `malloc(0)` is a block of its own. `realloc(p, 0)` frees, as glibc's does.
//! - `free` and all forms of `operator delete` keep `errno`, look the block's size up, and believe no size that they are told.
//! - Where a C++ library is linked or loaded, early or late, `operator new` calls the new handler and throws `std::bad_alloc`; without one
//!   it ends the process. To find one that came late it looks through all that is loaded, under the same lock of the loader as any throw. A static program may have to ask for that part of the C++ library: `-Wl,-u,_ZSt17__throw_bad_allocv`.
//! - `mallinfo`, `mallinfo2`, `malloc_info` and `malloc_stats` tell what this heap has, as far as glibc's words fit it. `mallopt` answers 1
//!   and sets nothing.
//! - glibc's second names, such as `__libc_malloc`, are the functions here, so that their blocks are this heap's.
//! - C++'s operators call each other as the standard says, so a program that replaces some of them keeps a matching set.
//!
//! # Who may call what
//!
//! As in [`coreheap_os`]: any thread from before its start to after its end, the dynamic loader before the first constructor and after
//! the last exit handler, signal handlers, children of `fork`, and of `vfork` before
//! `exec`: `vfork` is one of the functions here. A process made by the raw `clone` system call that shares its maker's memory and thread must not allocate.
//!
//! A pointer that no function here gave out is ignored by a release build, and ends a debug build with a message. Before a preloaded
//! library is in charge there is only the loader's own small heap, whose blocks it never passes to `free`.
//!
//! # Why this crate links std
//!
//! Only for its panic handler and unwinding: stable Rust has no other way to a library through which C++'s exceptions may pass, as they
//! do through `operator new`. Nothing else of it is used.

// Other systems put a library in charge in other ways.
#![cfg(target_os = "linux")]
#![deny(missing_docs)]
#![cfg_attr(test, allow(dead_code, reason = "a test has no functions of these names: its own `malloc` would be replaced"))]

mod c;
// Its table of operators would refer to the test program's own.
#[cfg(not(test))]
mod cpp;
#[cfg(not(test))]
mod cpp_library;
mod glibc_names;
mod purger;
mod report;
mod request;
mod start;
cfg_if::cfg_if! {
    // Where there may be restartable sequences.
    if #[cfg(all(
        any(target_env = "gnu", all(target_env = "musl", target_feature = "crt-static")),
        target_pointer_width = "64",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(test)
    ))] {
        mod vfork;
    }
}

/// The process's heap.
static HEAP: coreheap_os::Coreheap = coreheap_os::Coreheap::new();
