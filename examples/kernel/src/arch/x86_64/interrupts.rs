//! Interrupts: the timer, other cores that unmap pages, and what goes wrong.

use core::arch::naked_asm;
use core::arch::x86_64::_rdtsc;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::{ExceptionVector, InterruptDescriptorTable};

use super::{apic, tlb};
use crate::profiler;

/// Runs `work` with interrupts off on this core, and then as they were before.
pub use x86_64::instructions::interrupts::without_interrupts as off;

/// Sends this core's interrupts to their handlers.
pub fn init() {
    static HANDLERS: Once<InterruptDescriptorTable> = Once::new();
    HANDLERS.call_once(handlers).load();
    apic::init();
    tlb::join();
}

fn handlers() -> InterruptDescriptorTable {
    let address = |entry: unsafe extern "C" fn()| VirtAddr::from_ptr(entry as *const ());
    let mut table = InterruptDescriptorTable::new();
    // SAFETY: each entry expects what the processor pushes for its vector.
    unsafe {
        table.non_maskable_interrupt.set_handler_addr(address(nmi_entry));
        table[apic::TIMER].set_handler_addr(address(timer_entry));
        table[apic::SPURIOUS].set_handler_addr(address(spurious_entry));
        table.page_fault.set_handler_addr(address(fault_entry::<{ ExceptionVector::Page as u8 }>));
        table.double_fault.set_handler_addr(address(fault_entry::<{ ExceptionVector::Double as u8 }>));
        table.general_protection_fault.set_handler_addr(address(fault_entry::<{ ExceptionVector::GeneralProtection as u8 }>));
        // What other exceptions become, because they have no handler: the error is eight times their number, and two.
        table.segment_not_present.set_handler_addr(address(fault_entry::<{ ExceptionVector::SegmentNotPresent as u8 }>));
    }
    table
}

/// Timer interrupts begin on this core.
pub fn start_timer() {
    set_timer();
    interrupts::enable();
}

/// They end.
pub fn stop_timer() {
    interrupts::disable();
    apic::stop_timer();
}

fn set_timer() {
    // SAFETY: every processor for which this target is has a time-stamp counter.
    let now = unsafe { _rdtsc() };
    apic::start_timer(profiler::microseconds_to_next(now));
}

/// An entry that calls `$handler` with the address of what was interrupted. Saves what Rust functions may change, on the stack of what was
/// interrupted, which the processor has aligned to 16 bytes before it pushed five words.
macro_rules! entry {
    ($name:ident, $handler:path) => {
#[unsafe(naked)]
        #[rustfmt::skip]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push rax", "push rcx", "push rdx", "push rsi", "push rdi", "push r8", "push r9", "push r10", "push r11",
                "mov rdi, [rsp + 9*8]",
                "cld",
                "call {handler}",
                "pop r11", "pop r10", "pop r9", "pop r8", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rax",
                "iretq",
                handler = sym $handler,
            )
        }
    };
}

entry!(timer_entry, tick);
entry!(nmi_entry, tlb::answer);

/// An interrupt that was taken back.
#[unsafe(naked)]
unsafe extern "C" fn spurious_entry() {
    naked_asm!("iretq")
}

/// For exceptions with an error code, which the processor has pushed after five other words. It does not return, so it need save nothing.
#[unsafe(naked)]
unsafe extern "C" fn fault_entry<const VECTOR: u8>() {
    naked_asm!("mov edi, {vector}", "pop rsi", "pop rdx", "call {fault}", vector = const VECTOR, fault = sym fault)
}

extern "C" fn tick(at: usize) {
    profiler::tick(at);
    set_timer();
    apic::end_interrupt();
}

extern "C" fn fault(vector: u8, error: u64, at: usize) -> ! {
    let exception = ExceptionVector::try_from(vector).expect("the vector of an exception");
    panic!("{exception:?} at {at:#x}, error {error:#x}, address {:#x}", Cr2::read_raw());
}
