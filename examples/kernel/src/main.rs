//! Run it with `cargo xtask example kernel-riscv64` or `kernel-aarch64`, or `cargo run --release --target TRIPLE` in this folder; in QEMU
//! either way.
//!
//! A small kernel for four cores whose heap is coreheap: boxes, strings and maps on all cores, and in interrupt handlers, in memory that is
//! mapped when the heap needs it and unmapped when it does not. What a kernel has to write for that is in `heap.rs`.
//!
//! | file | what it is |
//! |---|---|
//! | `heap.rs` | the heap: what it is told of frames, page tables and cores |
//! | `frames.rs` | physical memory |
//! | `paging.rs` | virtual memory |
//! | `profiler.rs` | what the timer's handler does: it allocates and frees |
//! | `tasks.rs` | queues of tasks, from core to core |
//! | `work.rs` | the tasks: what is allocated by one core is checked and freed by others |
//! | `cores.rs`, `lock.rs`, `console.rs` | what every kernel has |
//! | `arch.rs` | what differs from one architecture to the next: boot code, the timer, page table entries, how other cores forget a page |

#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod console;
mod cores;
mod frames;
mod heap;
mod lock;
mod paging;
mod profiler;
mod tasks;
mod work;

use core::sync::atomic::{AtomicUsize, Ordering};

use arch::interrupts;
use cores::CORES;
use frames::FRAME_SIZE;
use heap::HEAP;

/// Harts that have come to the end of their work.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

/// The first core.
fn main() -> ! {
    println!("core {} is up, with {} frames of {FRAME_SIZE} bytes; it starts the others", arch::core(), frames::total());
    heap::init();
    cores::start_others();
    work_with_interrupts();
    while FINISHED.load(Ordering::Acquire) < CORES {
        core::hint::spin_loop();
    }
    tasks::finish();
    report();
    arch::exit(0)
}

/// Every other core.
fn core_main() -> ! {
    work_with_interrupts();
    loop {
        arch::wait_for_interrupt();
    }
}

fn work_with_interrupts() {
    interrupts::start_timer();
    work::run();
    interrupts::stop_timer();
    profiler::finish();
    FINISHED.fetch_add(1, Ordering::Release);
}

/// Says what happened, and checks that the heap has everything back, and then the frames.
fn report() {
    println!("{} jobs are done, all results are right; {} blocks changed cores\n", work::JOBS, tasks::blocks_passed());
    for core in 0..CORES {
        let interrupts = profiler::counts(core);
        println!(
            "core {core}: {:>5} tasks, {:>6} interrupts that allocated, {:>5} of them in the middle of the heap's code",
            tasks::done_by(core),
            interrupts.all,
            interrupts.in_heap
        );
    }
    HEAP.assert_valid();
    let stats = HEAP.stats();
    println!("\nThe heap, with all blocks freed:\n{stats}\n");
    assert_eq!(stats.used, 0, "bytes that were not freed");

    let before = frames::counts();
    let purged = HEAP.purge();
    let after = frames::counts().in_use;
    println!("frames: {} at the peak, {} at the end, {after} after a purge:", before.peak, before.in_use);
    println!("{} for page tables, the others for the heap's own tables", paging::tables());
    println!("frames were given out {} times, and taken back {} times", before.given_out, before.given_out - after);
    let stats = HEAP.stats();
    assert_eq!(before.in_use - after, purged / FRAME_SIZE, "a purge gives frames back");
    assert_eq!((after - paging::tables()) * FRAME_SIZE, stats.committed, "the heap has the frames that it says it has");
    assert_eq!(stats.committed, stats.metadata, "only its tables are left");
}
