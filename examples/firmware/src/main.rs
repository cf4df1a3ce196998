//! Run it with `cargo run --release` in this folder; `cargo install --locked qemu-run` and QEMU for Arm come first.
//!
//! A Cortex-M4 with 64 KiB of memory collects what sensors send. Each interrupt brings a line of text, which the handler puts into a block
//! of its own, at any moment: also while the main program is in the middle of an allocation. Main takes the lines apart and keeps
//! statistics in maps and lists. One heap serves both, and no interrupt is ever masked for it.
#![no_std]
#![no_main]

extern crate alloc;

mod line;
mod sensors;
mod station;

use alloc::vec::Vec;
use core::cell::RefCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use coreheap_bare::Coreheap;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use critical_section::Mutex;
use defmt_semihosting as _;
use heapless::spsc::{Producer, Queue};

use sensors::Sensors;
use station::Station;

#[global_allocator]
static HEAP: Coreheap<{ 32 * 1024 }> = Coreheap::new();

/// Interrupts in a run, one every 200 µs.
const TICKS: u32 = 30_000;
const TICK_US: u32 = 200;
/// SysTick counts the 25 MHz of the processor.
const RELOAD: u32 = 25 * TICK_US - 1;

/// What came in, and when.
pub struct Frame {
    at: u32,
    line: Vec<u8>,
}

/// The handler's end of the queue, until it has taken it.
static QUEUE_END: Mutex<RefCell<Option<Producer<'static, Frame>>>> = Mutex::new(RefCell::new(None));

static NOW: AtomicU32 = AtomicU32::new(0);
/// Lines that found no memory, or no room in the queue.
static LOST: AtomicU32 = AtomicU32::new(0);
/// Lines in the queue that noise has changed, and the sum of all numbers in the others.
static SPOILT: AtomicU32 = AtomicU32::new(0);
static SUM: AtomicU32 = AtomicU32::new(0);

defmt::timestamp!("{=u32:us}", NOW.load(Relaxed) * TICK_US);

#[entry]
fn main() -> ! {
    static mut QUEUE: Queue<Frame, 32> = Queue::new();
    let (producer, mut frames) = QUEUE.split();
    critical_section::with(|token| QUEUE_END.replace(token, Some(producer)));

    let mut timer = cortex_m::Peripherals::take().expect("taken once").SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(RELOAD);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
    defmt::info!("{=u32} lines, one every {=u32} us", TICKS, TICK_US);

    let mut station = Station::new();
    while NOW.load(Relaxed) < TICKS {
        match frames.dequeue() {
            Some(frame) => {
                station.receive(frame);
                if station.received.is_multiple_of(10_000) {
                    defmt::info!("{=u32} lines", station.received);
                }
            }
            // This allocates as well, so that lines arrive in the middle of it.
            None => station.update_medians(),
        }
    }
    timer.disable_counter();
    timer.disable_interrupt();
    while let Some(frame) = frames.dequeue() {
        station.receive(frame);
    }

    station.update_medians();
    station.log();
    let heap = HEAP.heap();
    defmt::info!("{}", heap.stats());
    let (lost, spoilt) = (LOST.load(Relaxed), SPOILT.load(Relaxed));
    defmt::info!(
        "{=u32} lines received, {=u32} lost, {=u32} refused for their checksum",
        station.received,
        lost,
        station.refused
    );

    assert_eq!(station.received + lost, NOW.load(Relaxed), "lines sent and received");
    assert_eq!(station.refused, spoilt, "lines with a wrong checksum");
    assert_eq!(station.sum, SUM.load(Relaxed), "the sum of all numbers");
    assert!(lost < TICKS / 100, "the heap or the queue was full");
    heap.assert_valid();
    drop(station);
    assert_eq!(heap.stats().used, 0, "bytes that nobody freed");
    defmt::info!("all is well");
    semihosting::process::exit(0)
}

/// A line is there.
#[exception]
fn SysTick() {
    static mut SENSORS: Sensors = Sensors::new();
    static mut PRODUCER: Option<Producer<'static, Frame>> = None;

    let at = NOW.load(Relaxed) + 1;
    NOW.store(at, Relaxed);
    assert!(at < 2 * TICKS, "the main program hangs");
    let producer = PRODUCER.get_or_insert_with(|| {
        let given = critical_section::with(|token| QUEUE_END.borrow_ref_mut(token).take());
        given.expect("main gave it before the timer ran")
    });
    // Where nobody can wait, memory that is not there costs a line, and no more.
    let sent = SENSORS.next_line(at).map(|sent| (sent.is_spoilt, sent.sum, producer.enqueue(Frame { at, line: sent.line })));
    match sent {
        Some((true, _, Ok(()))) => count(&SPOILT, 1),
        Some((false, sum, Ok(()))) => count(&SUM, sum),
        Some((_, _, Err(_))) | None => count(&LOST, 1),
    }
}

/// For counters that only the handler changes.
fn count(counter: &AtomicU32, more: u32) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}

#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    panic!("exception {number}");
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    // The log itself may be what panics.
    if !HAS_PANICKED.swap(true, Relaxed) {
        defmt::error!("{}", defmt::Display2Format(info));
    }
    semihosting::process::exit(1)
}
