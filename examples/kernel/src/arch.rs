//! What differs from one architecture to the next. Nothing else asks which one it is.
//!
//! Each has these items. `interrupts::off` and those of `paging` are called by the heap, so they must not allocate.
//!
//! | item | what it is |
//! |---|---|
//! | `RAM_END` | the end of physical memory |
//! | `WINDOW_START` | where the heap's window lies: at a multiple of 1 GiB, far from RAM and devices |
//! | `core()` | the number of the core that this runs on, below `CORES` |
//! | `start(core)` | starts another core |
//! | `exit(status)` | ends the emulator with this exit status |
//! | `wait_for_interrupt()` | sleeps until one comes |
//! | `send_byte(byte)` | to the serial port |
//! | `interrupts::init()` | once on each core: exceptions have their handlers, the timer is still off |
//! | `interrupts::start_timer()`, `stop_timer()` | interrupts, which call `profiler::tick`, begin on this core, and end |
//! | `interrupts::off(work)` | runs `work` without any, which are then as they were before |
//! | `paging::LEVELS` | how many page tables lead to a page of 4 KiB |
//! | `paging::BLOCKS` | entries for the blocks of 1 GiB with RAM and devices, which lie at their own addresses |
//! | `paging::leaf(frame)` | an entry for a page: the kernel reads and writes it |
//! | `paging::table(frame)` | an entry for a page table |
//! | `paging::target(entry)` | the physical address in an entry of any kind |
//! | `paging::turn_on(root)` | once on each core, with the physical address of the first table |
//! | `paging::is_there(page)` | tells this core of a page that had no frame, and has one now |
//! | `paging::is_gone(page, count)` | tells all cores that pages have no frames any more; when it returns, all have forgotten them |
//!
//! Its boot code clears `.bss`, gives each core its part of [`STACKS`](crate::cores::STACKS), sees to it that `core()` knows the
//! number, and calls [`enter`](crate::cores::enter).

cfg_if::cfg_if! {
    if #[cfg(target_arch = "aarch64")] {
        mod aarch64;
        pub use aarch64::*;
    } else if #[cfg(target_arch = "riscv64")] {
        mod riscv64;
        pub use riscv64::*;
    } else if #[cfg(target_arch = "x86_64")] {
        mod x86_64;
        pub use x86_64::*;
    } else {
        compile_error!("the kernel does not know this architecture");
    }
}
