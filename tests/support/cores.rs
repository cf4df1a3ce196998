//! Core numbers that a test chooses.

use coreheap::CoreNumber;
use coreheap::port::sync::{AtomicUsize, Ordering};

/// Another number on each call, so that one thread walks over all cores.
#[derive(Debug)]
pub struct Wandering;

static STEPS: AtomicUsize = AtomicUsize::new(0);

impl CoreNumber for Wandering {
    fn core_number() -> usize {
        STEPS.fetch_add(1, Ordering::Relaxed)
    }
}

cfg_if::cfg_if! {
    if #[cfg(feature = "std")] {
        std::thread_local! {
            static CHOSEN: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
        }

        /// The number that this thread chose last with [`choose_core`]; 0 at first.
        #[derive(Debug)]
        pub struct Chosen;

        impl CoreNumber for Chosen {
            fn core_number() -> usize {
                CHOSEN.get()
            }
        }

        /// Makes this thread run on core `number`, as far as [`Chosen`] is asked.
        pub fn choose_core(number: usize) {
            CHOSEN.set(number);
        }

        std::thread_local! {
            static NUMBER: core::cell::Cell<usize> = const { core::cell::Cell::new(usize::MAX) };
        }

        /// A number for each thread, in the order in which they ask first.
        #[derive(Debug)]
        pub struct ThreadNumber;

        static THREADS: AtomicUsize = AtomicUsize::new(0);

        impl CoreNumber for ThreadNumber {
            fn core_number() -> usize {
                if NUMBER.get() == usize::MAX {
                    NUMBER.set(THREADS.fetch_add(1, Ordering::Relaxed));
                }
                NUMBER.get()
            }
        }

        impl coreheap::ContextNumber for ThreadNumber {
            fn number() -> usize {
                Self::core_number()
            }

            fn raced() {
                NUMBER.set(NUMBER.get() + 1);
            }
        }
    }
}
