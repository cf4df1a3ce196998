use std::thread;
use std::time::Duration;

use super::*;
use crate::geometry::Tiny;
use crate::sources::{FixedRegion, NoPages};

#[test]
fn who_ended_while_it_asked_is_waited_for_once() {
    let arenas = Arenas::<Tiny>::new();
    // Core 4 asks, and never comes back.
    arenas.asking.store(1 << 4, Ordering::Relaxed);
    assert!(!arenas.grow(&NoPages, 0, 0, 1));
    assert_eq!(arenas.asking.load(Ordering::Relaxed), 0);
}

/// The first call is refused after the second one has the region, which comes out only then.
struct Overtaken {
    region: FixedRegion,
    calls: AtomicUsize,
    refusals: AtomicUsize,
}

fn wait_until(count: &AtomicUsize, least: usize) {
    while count.load(Ordering::Acquire) < least {
        thread::yield_now();
    }
}

// SAFETY: the region's own.
unsafe impl PageSource for Overtaken {
    fn reserve(&self, request: RegionRequest) -> Option<Region> {
        if self.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            wait_until(&self.calls, 2);
            self.refusals.fetch_add(1, Ordering::Release);
            return None;
        }
        wait_until(&self.refusals, 1);
        thread::sleep(Duration::from_millis(5));
        self.region.reserve(request)
    }

    fn pointer_at(&self, address: usize) -> *mut u8 {
        self.region.pointer_at(address)
    }
}

#[test]
#[cfg_attr(miri, ignore = "the wait is short there")]
fn who_asked_first_waits_for_who_has_the_memory() {
    let mut memory = std::vec![0_u64; 4096];
    // SAFETY: it outlives the arenas.
    let region = unsafe { FixedRegion::over(memory.as_mut_ptr().cast(), size_of_val(&*memory)) };
    let source = Overtaken { region, calls: AtomicUsize::new(0), refusals: AtomicUsize::new(0) };
    let arenas = Arenas::<Tiny>::new();
    thread::scope(|scope| {
        let first = scope.spawn(|| arenas.grow(&source, 0, 0, 1));
        wait_until(&source.calls, 1);
        assert!(arenas.grow(&source, 1, 0, 1), "it has the region");
        assert!(first.join().expect("no panic"), "it has come in meanwhile");
    });
    assert_eq!(arenas.asking.load(Ordering::Relaxed), 0);
}
