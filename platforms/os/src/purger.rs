//! [`Purger`]: a background thread that gives idle memory back to the system.
//!
//! *Role*: optional, for programs that fall idle. A heap gives memory back by itself only when it is used.

use std::mem::forget;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::{Duration, Instant};
use std::{io, process};

use coreheap::PageSource;

use crate::OsHeap;
use crate::idle::IdleWatch;

/// The least interval: looking at the clock costs little, but not nothing.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// A purger that is running. Dropping this lets it run on; [`stop`](Purger::stop) ends it.
#[derive(Debug)]
pub struct Purger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Purger {
    /// Ends the purger and waits until it has. In the child of a `fork`, which has no purger, it does nothing.
    pub fn stop(mut self) {
        let Some(thread) = self.thread() else { return };
        self.stop.store(true, Ordering::Release);
        thread.thread().unpark();
        // A purger that panicked has ended as well.
        let _ = thread.join();
    }

    /// Whether the purger works: it was neither left behind by a `fork`, nor has it ended.
    pub fn is_running(&self) -> bool {
        self.process == process::id() && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// The thread, if it is one of this process. One of a parent's must be neither waited for nor let go.
    fn thread(&mut self) -> Option<JoinHandle<()>> {
        let thread = self.thread.take()?;
        if self.process == process::id() {
            return Some(thread);
        }
        forget(thread);
        None
    }
}

impl Drop for Purger {
    fn drop(&mut self) {
        drop(self.thread());
    }
}

impl<S: PageSource> OsHeap<S> {
    /// Starts a thread that looks after this heap every `interval`: while the process is busy, it gives back what has been free for
    /// a whole interval (`purge_aged`); once the process has been idle for an interval, it gives back everything that is free
    /// (`purge`), magazines included, and then only sleeps until the process is busy again.
    ///
    /// Busy means that the process used 2 % of a core or more, whatever for. A few 100 ms to some seconds are good intervals; less than 10 ms
    /// are taken as 10 ms, and an interval beyond the end of the clock never ends.
    ///
    /// The child of a `fork` has no purger; it may start its own. A library with a heap must stop its purger before it is unloaded.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start_purger(&'static self, interval: Duration) -> io::Result<Purger> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("coreheap-purger".into()).spawn(move || self.look_after(interval, &stopped))?;
        Ok(Purger { stop, thread: Some(thread), process: process::id() })
    }

    fn look_after(&self, interval: Duration, stopped: &AtomicBool) {
        let interval = interval.max(LEAST_INTERVAL);
        let mut watch = IdleWatch::start();
        loop {
            let until = Instant::now().checked_add(interval);
            // `None`: for ever.
            let left = || until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            while let Some(left) = Some(left()).filter(|left| !left.is_zero()) {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                park_timeout(left);
            }
            if stopped.load(Ordering::Acquire) {
                return;
            }
            watch.look_after(self, interval);
        }
    }
}
