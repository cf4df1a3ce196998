//! Boxes that harts exchange, on QEMU's virt with as many harts as the argument says.
#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use coreheap_bench_bare::exchange::{BYTES, Exchange};
use coreheap_bench_bare::*;
use semihosting::{experimental::env, println, process};

const HARTS: usize = 4;
const STACK_SIZE: usize = 64 << 10;
/// Half a second, at 10 MHz.
const TICKS: usize = 5_000_000;

/// talc's crate links `alloc`, which wants one.
#[global_allocator]
static NOTHING: Nothing = Nothing;

static STACKS: Memory<{ HARTS * STACK_SIZE }> = Memory::new();
static EXCHANGE: Exchange = Exchange::new();
static PAIRS: AtomicUsize = AtomicUsize::new(0);

/// All harts come here at once.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "csrr tp, mhartid",
        "la sp, {stacks}",
        "addi t0, tp, 1",
        "slli t0, t0, {stack_shift}",
        "add sp, sp, t0",
        // Floating point is on, for compilers that use its registers.
        "li t0, 0x2000",
        "csrs mstatus, t0",
        "j {main}",
        stacks = sym STACKS,
        stack_shift = const STACK_SIZE.ilog2(),
        main = sym main,
    )
}

extern "C" fn main() -> ! {
    // Each hart reads it for itself.
    let arguments = env::args::<64>().expect("QEMU has a command line");
    let harts = (&arguments).nth(1).and_then(|word| word.ok()?.parse().ok()).expect("how many harts there are");
    measure_all(harts);
    if Here::core() == 0 {
        process::exit(0)
    }
    loop {
        core::hint::spin_loop();
    }
}

macro_rules! measure_all {
    ($($name:literal => $heap:ty,)*) => {
        fn measure_all(harts: usize) {
            $({
                static HEAP: $heap = <$heap>::NEW;
                static MEMORY: Memory<BYTES> = Memory::new();
                if Here::core() == 0 {
                    // SAFETY: once, and nobody else's.
                    assert!(unsafe { HEAP.take(MEMORY.region()) }, "{} is as big as it likes", $name);
                }
                measure(&HEAP, harts);
            })*
        }
    };
}

for_each_shared_peer!(measure_all);

fn measure<A: Peer>(heap: &'static A, harts: usize) {
    meet(harts);
    let start = time();
    let pairs = EXCHANGE.run(heap, Here::core(), || time() - start < TICKS);
    PAIRS.fetch_add(pairs, SeqCst);
    meet(harts);
    if Here::core() == 0 {
        println!("pairs {}", PAIRS.swap(0, SeqCst));
        EXCHANGE.clear(heap);
    }
    meet(harts);
}

/// Waits until all harts are here.
fn meet(harts: usize) {
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    let arrived = ARRIVED.fetch_add(1, SeqCst) + 1;
    while ARRIVED.load(SeqCst) < arrived.next_multiple_of(harts) {
        core::hint::spin_loop();
    }
}

/// Ticks since the start.
fn time() -> usize {
    let ticks;
    // SAFETY: reads a register.
    unsafe { asm!("rdtime {}", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// Which hart this is.
struct Here;

impl CoreNumber for Here {
    #[inline(always)]
    fn core_number() -> usize {
        let number;
        // SAFETY: reads a register, which `_start` wrote.
        unsafe { asm!("mv {}, tp", out(reg) number, options(nomem, nostack, preserves_flags)) };
        number
    }
}
