//! Physical memory: frames of 4 KiB, from the end of the kernel to the end of RAM.

use core::ptr::{NonNull, with_exposed_provenance_mut};

use crate::arch::RAM_END;
use crate::lock::Lock;

pub const FRAME_SIZE: usize = 4096;

static FRAMES: Lock<Frames> = Lock::new(Frames { next: 0, free: 0, counts: Counts { in_use: 0, peak: 0, given_out: 0 } });

struct Frames {
    /// No frame from here on was ever given out. 0: none was.
    next: usize,
    /// The frame that came back last; 0: none. Each has the address of the one before in its first bytes.
    free: usize,
    counts: Counts,
}

/// How many frames are in use, the most that ever were, and how often one was given out.
#[derive(Clone, Copy)]
pub struct Counts {
    pub in_use: usize,
    pub peak: usize,
    pub given_out: usize,
}

/// The counts as they are now.
pub fn counts() -> Counts {
    FRAMES.with(|frames| frames.counts)
}

/// How many frames there are.
pub fn total() -> usize {
    (RAM_END - kernel_end()) / FRAME_SIZE
}

/// A frame, all zero. It is the caller's, at its physical address, until it is freed.
pub fn allocate() -> Option<NonNull<u8>> {
    let address = FRAMES.with(|frames| {
        let address = if frames.free != 0 {
            let address = frames.free;
            // SAFETY: a free frame, into which `free` wrote this.
            frames.free = unsafe { with_exposed_provenance_mut::<usize>(address).read() };
            address
        } else {
            let address = frames.next.max(kernel_end());
            frames.next = address + FRAME_SIZE;
            if frames.next > RAM_END {
                frames.next = address;
                return None;
            }
            address
        };
        let counts = &mut frames.counts;
        counts.in_use += 1;
        counts.peak = counts.peak.max(counts.in_use);
        counts.given_out += 1;
        Some(address)
    })?;
    let frame = NonNull::new(with_exposed_provenance_mut::<u8>(address))?;
    // Outside the lock: it takes a while, and others need not wait for it.
    // SAFETY: the frame is nobody else's, and RAM is mapped at its own addresses.
    unsafe { frame.write_bytes(0, FRAME_SIZE) };
    Some(frame)
}

/// Takes a frame back.
///
/// # Safety
/// It came from [`allocate`], and nobody uses it any more, at any address.
pub unsafe fn free(frame: NonNull<u8>) {
    FRAMES.with(|frames| {
        // SAFETY: the caller's promise.
        unsafe { frame.cast::<usize>().write(frames.free) };
        frames.free = frame.as_ptr().expose_provenance();
        frames.counts.in_use -= 1;
    });
}

fn kernel_end() -> usize {
    unsafe extern "C" {
        static __kernel_end: u8;
    }
    (&raw const __kernel_end).addr()
}
