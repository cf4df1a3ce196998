//! [`IdleWatch`]: what a background thread does to give idle memory back.
//!
//! *Role*: looks now and then how busy the process is. [`Purger`](crate::Purger) runs it on a thread of std's, `coreheap-c` on one of the C library's.

use core::time::Duration;

use coreheap::PageSource;

use crate::OsHeap;
use crate::system::processor_time;

/// A process that used less of one core than this part of the interval counts as idle.
const IDLE_PART: u32 = 50;

/// Watches how busy the process is.
#[derive(Debug)]
pub struct IdleWatch {
    used_before: Duration,
    is_purged: bool,
}

impl IdleWatch {
    /// Watches from now on.
    pub fn start() -> Self {
        IdleWatch { used_before: processor_time(), is_purged: false }
    }

    /// Gives back what has been idle, at the end of an interval of this length: from a busy process what has been free since the last time, from an idle
    /// one everything, once.
    pub fn look_after<S: PageSource>(&mut self, heap: &OsHeap<S>, interval: Duration) {
        if processor_time().saturating_sub(self.used_before) >= interval / IDLE_PART {
            heap.purge_aged();
            self.is_purged = false;
        } else if !self.is_purged {
            heap.purge();
            self.is_purged = true;
        }
        // The purge itself does not count.
        self.used_before = processor_time();
    }
}
