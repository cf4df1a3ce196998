//! The least firmware that uses an allocator: what it has more than the same with `Nothing` is the allocator's.
#![no_std]
#![no_main]

extern crate alloc;

// How interrupts are masked.
#[cfg(target_arch = "arm")]
use cortex_m as _;
#[cfg(target_arch = "riscv32")]
use riscv as _;

use alloc::alloc::{alloc, dealloc, realloc};
use core::alloc::Layout;
use core::hint::black_box;

use coreheap_bench_bare::*;

include!(concat!(env!("OUT_DIR"), "/bytes.rs"));
include!(concat!(env!("OUT_DIR"), "/heap.rs"));

#[global_allocator]
static HEAP: Heap = Heap::NEW;

static MEMORY: Memory<BYTES> = Memory::new();

/// What the compiler does not know.
static mut SIZES: [usize; 3] = [24, 8, 48];

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    // SAFETY: there is one context, and this is its first call; blocks are used as they may be.
    unsafe {
        HEAP.take(MEMORY.region());
        loop {
            let [size, align, new_size] = (&raw const SIZES).read_volatile();
            let Ok(layout) = Layout::from_size_align(size, align) else { continue };
            // Where the compiler does not see what becomes of a block, it cannot leave it out.
            let block = black_box(alloc(layout));
            if block.is_null() {
                continue;
            }
            // These two every firmware has, so they are not counted as the allocator's.
            block.write_bytes(0, size);
            block.copy_from_nonoverlapping((&raw const SIZES).cast(), size);
            let moved = black_box(realloc(block, layout, new_size));
            dealloc(moved, Layout::from_size_align_unchecked(new_size, align));
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
