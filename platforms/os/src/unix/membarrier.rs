//! Linux' `membarrier`: one system call that makes every running thread of the process pass a barrier.
//!
//! *Role*: the slow side of the protocols of [`rseq`](crate::rseq) and [`leases`](crate::leases), whose fast sides have no barrier.
//!
//! A program may shut itself in (`seccomp`) and have the kernel kill it for every system call that it does not expect from an allocator, as it would be for this
//! one. So the call is made only while a thread has as many filters as the process had when it registered, as far as the system says: under those it was
//! allowed.
//!
//! *Contexts*: any; nothing allocates, and `errno` is kept.

cfg_if::cfg_if! {
    if #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))] {
        use core::sync::atomic::{AtomicU32, Ordering};

        use super::errno::Errno;
        use super::process::each_line;

        /// The [`filters`] of the thread that registered this process first; 0 before.
        static FILTERS_AT_FIRST: AtomicU32 = AtomicU32::new(0);

        /// A kind of barrier, with its command, and that to register the process for it.
        #[derive(Clone, Copy, Debug)]
        pub struct Membarrier(i32, i32);

        /// A full memory barrier.
        pub const MEMORY: Membarrier = Membarrier(1 << 3, 1 << 4);
        /// Restarts every restartable sequence that a thread is inside.
        #[allow(dead_code, reason = "not every Linux has sequences for this crate")]
        pub const RESTART: Membarrier = Membarrier(1 << 7, 1 << 8);

        impl Membarrier {
            /// Registers this process. False if the kernel does not have this barrier, or forbids it.
            pub fn register(self) -> bool {
                let _errno = Errno::keep();
                is_allowed() && has_no_new_filter() && call(self.1)
            }

            /// Has every running thread of this process pass it. False if the kernel refuses, or may kill for it.
            pub fn pass(self) -> bool {
                let _errno = Errno::keep();
                #[cfg(test)]
                PASSES.with(|passes| passes.set(passes.get() + 1));
                // A process image that `fork` made may have to register anew.
                has_no_new_filter() && (call(self.0) || (call(self.1) && call(self.0)))
            }
        }

        #[cfg(test)]
        std::thread_local! {
            /// How many barriers this thread asked for.
            pub static PASSES: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
        }

        #[cfg(target_os = "android")]
        /// Before Android 10 an app that makes this call is killed.
        fn is_allowed() -> bool {
            const ANDROID_10: u32 = 29;
            let mut version = [0; libc::PROP_VALUE_MAX as usize];
            // SAFETY: a constant name, and room for the longest answer and the zero that ends it.
            let version = unsafe {
                libc::__system_property_get(c"ro.build.version.sdk".as_ptr(), version.as_mut_ptr());
                core::ffi::CStr::from_ptr(version.as_ptr())
            };
            version.to_str().is_ok_and(|version| version.parse().is_ok_and(|version: u32| version >= ANDROID_10))
        }

        #[cfg(not(target_os = "android"))]
        /// A kernel that forbids it says so.
        fn is_allowed() -> bool {
            true
        }

        /// Whether this thread has the filters that were there first: then it may make the system calls that are made here. Some microseconds.
        fn has_no_new_filter() -> bool {
            has_filters_at_first() == Some(true)
        }

        /// The same; `None` if the system cannot be asked now, but perhaps later.
        pub fn has_filters_at_first() -> Option<bool> {
            let now = filters()?;
            let first = FILTERS_AT_FIRST.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|first| first);
            Some(first == 0 || first == now)
        }

        /// A number for the filters that this thread has: how many, before Linux 5.9 whether any; and another one where the system never says. Not 0. `None` if it
        /// cannot be asked now: the process has no file descriptor left, say.
        fn filters() -> Option<u32> {
            // Line by line: this may run on a signal handler's short stack.
            let (mut mode, mut count) = (None, None);
            let is_open = each_line(c"/proc/thread-self/status", |line| {
                let value = |name: &[u8]| core::str::from_utf8(line.strip_prefix(name)?).ok()?.trim().parse().ok();
                mode = mode.or_else(|| value(b"Seccomp:"));
                count = count.or_else(|| value(b"Seccomp_filters:"));
            });
            let may_never_say = is_open || Errno::is(libc::ENOENT);
            may_never_say.then(|| count.or(mode).map_or(1, |count: u32| count.saturating_add(2)))
        }

        fn call(command: i32) -> bool {
            // SAFETY: takes numbers only.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
        }
    } else {
        /// Nothing of the kind.
        #[derive(Clone, Copy, Debug)]
        pub struct Membarrier;

        /// A full memory barrier.
        pub const MEMORY: Membarrier = Membarrier;

        impl Membarrier {
            /// Not to be had, but for Miri, where both sides of the protocols are full fences.
            pub fn register(self) -> bool {
                cfg!(miri)
            }

            /// As [`register`](Self::register).
            pub fn pass(self) -> bool {
                core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
                cfg!(miri)
            }
        }
    }
}
