//! What is better done before the program runs.
//!
//! *Role*: a constructor of the library. It has the heap decide how contexts are kept apart, which registers a handler for forks. The
//! first allocation would do it, but that may come from inside `pthread_atfork` (glibc needs memory there for its 49th handler), where a
//! second registration waits for the first for ever. And the program's own handlers, called later in the child of a `fork`, find the
//! heap ready for it. It also starts the purger, where the environment asks for one.
//!
//! Allocations before this constructor are served all the same: those of the loader, and of libraries that are initialised first.

/// Found and called by the dynamic loader, or by the start-up code of a program that was linked with this.
#[used]
#[cfg_attr(not(test), unsafe(link_section = ".init_array"))]
pub static START: extern "C" fn() = start;

extern "C" fn start() {
    crate::HEAP.cores_kind();
    crate::purger::start_if_asked_for();
}
