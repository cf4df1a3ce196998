//! Threads pass blocks to each other; nobody may find another one's bytes in his own.

use std::thread;

use coreheap_tests::rng::Rng;

use crate::HEAP;
use crate::parcel::Exchange;
use crate::support::{cases, rounds};

static EXCHANGE: Exchange<2000> = Exchange::new();

fn exchange(threads: usize, operations: usize) {
    let workers: Vec<_> = (0..threads)
        .map(|seed| {
            let work = move || EXCHANGE.work(&mut Rng::new(seed as u64 + 1), operations);
            thread::Builder::new().stack_size(64 * 1024).spawn(work).expect("a thread")
        })
        .collect();
    let found: usize = workers.into_iter().map(|worker| worker.join().expect("every parcel in order")).sum();
    assert!(found > threads * operations / 2, "parcels went from one to the other");
    EXCHANGE.empty();
    HEAP.purge();
    HEAP.assert_valid();
}

cases! {
    fn two_threads() {
        exchange(2, rounds(4_000_000));
    }

    fn eight_threads() {
        exchange(8, rounds(1_000_000));
    }

    fn sixty_four_threads() {
        exchange(64, rounds(150_000));
    }

    fn a_thousand_threads_cost_no_more_than_a_few() {
        exchange(1000, rounds(8000));
        let stats = HEAP.stats();
        assert!(stats.committed < 64 << 20, "{stats}");
    }
}
