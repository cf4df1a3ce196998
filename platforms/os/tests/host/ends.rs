//! Threads that end while their blocks live on.

use std::cell::RefCell;
use std::thread;

use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::Parcel;
use crate::support::{cases, rounds};

/// A thread-local value that still allocates and frees while its thread ends.
struct Late(Vec<Parcel>);

impl Drop for Late {
    fn drop(&mut self) {
        let mut rng = Rng::new(self.0.len() as u64);
        let more: Vec<_> = (0..100).map(|_| Parcel::random(&mut rng)).collect();
        self.0.drain(..).chain(more).for_each(Parcel::check_and_free);
    }
}

thread_local! {
    static LATE: RefCell<Late> = const { RefCell::new(Late(Vec::new())) };
}

cases! {
    fn blocks_outlive_their_threads() {
        let mut alive: Vec<Parcel> = Vec::new();
        let mut rng = Rng::new(99);
        let mut most_committed = 0;
        for round in 0..rounds(600) {
            let makers: Vec<_> = (0..8)
                .map(|maker| {
                    thread::spawn(move || {
                        let mut rng = Rng::new((round * 8 + maker) as u64);
                        LATE.with_borrow_mut(|late| late.0.extend((0..50).map(|_| Parcel::random(&mut rng))));
                        (0..500).map(|_| Parcel::random(&mut rng)).collect::<Vec<_>>()
                    })
                })
                .collect();
            alive.extend(makers.into_iter().flat_map(|maker| maker.join().expect("a thread that ends well")));
            while alive.len() > 8000 {
                alive.swap_remove(rng.below(alive.len())).check_and_free();
            }
            if round == 10 {
                most_committed = 2 * HEAP.stats().committed;
            }
        }
        let committed = HEAP.stats().committed;
        assert!(most_committed == 0 || committed <= most_committed, "it grows with every thread: {committed}, {most_committed}");
        alive.into_iter().for_each(Parcel::check_and_free);
        HEAP.purge();
        HEAP.assert_valid();
        let used: usize = HEAP.stats().classes().map(|class| class.used * class.block_size).sum();
        assert!(used < 1 << 20, "{used} bytes are still used");
    }

    fn panics_unwind() {
        std::panic::set_hook(Box::new(|_| ()));
        for round in 0..200 {
            let kept = vec![round as u8; round];
            let thread = thread::spawn(move || {
                assert!(kept.len() > 1000, "{kept:?}");
            });
            let panic = thread.join().expect_err("every one of them panics");
            assert!(panic.downcast_ref::<String>().is_some_and(|message| message.starts_with('[')));
        }
    }
}
