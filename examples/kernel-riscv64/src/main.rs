//! Run it with `cargo run --release` in this folder; it needs `qemu-system-riscv64`.
//!
//! A small kernel for four harts whose heap is coreheap: boxes, strings and maps on all harts, and in interrupt handlers, in memory that is
//! mapped when the heap needs it and unmapped when it does not. What a kernel has to write for that is in `heap.rs`.
//!
//! | file | what it is |
//! |---|---|
//! | `heap.rs` | the heap: what it is told of frames, page tables and harts |
//! | `frames.rs` | physical memory |
//! | `paging.rs` | virtual memory, and how other harts forget a page |
//! | `boot.rs` | from the firmware into Rust, on every hart |
//! | `interrupts.rs` | the timer |
//! | `profiler.rs` | what the timer's handler does: it allocates and frees |
//! | `tasks.rs` | queues of tasks, from hart to hart |
//! | `work.rs` | the tasks: what is allocated by one hart is checked and freed by others |
//! | `lock.rs`, `console.rs` | what every kernel has |

#![no_std]
#![no_main]

extern crate alloc;

mod boot;
mod console;
mod frames;
mod heap;
mod interrupts;
mod lock;
mod paging;
mod profiler;
mod tasks;
mod work;

use core::sync::atomic::{AtomicUsize, Ordering};

use boot::HARTS;
use frames::FRAME_SIZE;
use heap::HEAP;

/// Harts that have come to the end of their work.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

/// The first hart.
fn main() -> ! {
    println!("hart {} is up, with {} frames of {FRAME_SIZE} bytes; it starts the others", boot::hart(), frames::total());
    heap::init();
    boot::start_others();
    work_with_interrupts();
    while FINISHED.load(Ordering::Acquire) < HARTS {
        core::hint::spin_loop();
    }
    tasks::finish();
    report();
    boot::exit(0)
}

/// Every other hart.
fn hart_main() -> ! {
    work_with_interrupts();
    loop {
        riscv::asm::wfi();
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
    println!("{} jobs are done, all results are right; {} blocks changed harts\n", work::JOBS, tasks::blocks_passed());
    for hart in 0..HARTS {
        let interrupts = profiler::counts(hart);
        println!(
            "hart {hart}: {:>5} tasks, {:>6} interrupts that allocated, {:>5} of them in the middle of the heap's code",
            tasks::done_by(hart),
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
