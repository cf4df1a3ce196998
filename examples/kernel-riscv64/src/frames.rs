//! Physical memory: frames of 4 KiB, from the end of the kernel to the end of RAM.

use core::ptr::{NonNull, with_exposed_provenance_mut};

use crate::lock::Lock;

pub const FRAME_SIZE: usize = 4096;

/// QEMU's `-m 128M`. A kernel for more than one machine reads it from the device tree, which lies in RAM as well, and keeps off there.
const RAM_END: usize = 0x8000_0000 + (128 << 20);

static FRAMES: Lock<Frames> = Lock::new(Frames { next: 0, free: 0, in_use: 0, peak: 0 });

struct Frames {
    /// No frame from here on was ever given out. 0: none at all.
    next: usize,
    /// The frame that came back last; 0: none. Each has the address of the one before in its first bytes.
    free: usize,
    in_use: usize,
    peak: usize,
}

/// How many frames are in use, and the most that ever were.
pub fn counts() -> (usize, usize) {
    FRAMES.with(|frames| (frames.in_use, frames.peak))
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
        frames.in_use += 1;
        frames.peak = frames.peak.max(frames.in_use);
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
        frames.in_use -= 1;
    });
}

fn kernel_end() -> usize {
    unsafe extern "C" {
        static __kernel_end: u8;
    }
    (&raw const __kernel_end).addr()
}
