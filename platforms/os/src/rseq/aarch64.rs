//! The sequences on AArch64.
//!
//! *Role*: the instructions of [`sequences`](super::sequences), which says what is promised to them and what they return.

use core::arch::asm;

use super::CORES;
use super::sequences::{LIMIT, Place, RSEQ_CS, SLOT_SHIFT, SLOTS};

// Count and limit are loaded as a pair. They are as long as one slot, so the newest block lies where the slots would begin without them,
// plus 8 for each that `count` says, and the next one at one more.
const _: () = assert!(LIMIT == 4 && SLOTS == 8);

/// What lies before an abort address, as glibc registered it: a `brk`.
pub const SIGNATURE: u32 = 0xd428_bc00;

/// A sequence that leaves in `{done}` what it did, 0 for nothing, given the steps after `{cell}` was set to the magazine.
///
/// Labels: 2 begin, 3 start of what the kernel watches, 4 end, where steps that give up jump to; 5 abort; 6 the descriptor. Inputs
/// are never written, since everything from 2 on may run more than once.
macro_rules! sequence {
    ($place:expr, [$($step:literal),* $(,)?], $($operands:tt)*) => {
        asm!(
            // Read-only once the loader has put the addresses in.
            ".pushsection .data.rel.ro.coreheap_rseq, \"aw\", @progbits",
            ".balign 32",
            "6:",
            ".long 0, 0", // version, flags
            ".quad 3f, 4f - 3f, 5f", // start, length, abort address
            ".popsection",
            ".pushsection .text.coreheap_rseq, \"ax\", @progbits",
            ".balign 4",
            ".inst {signature}",
            "5:",
            "b 2f",
            ".popsection",
            "mrs {thread}, tpidr_el0",
            "2:",
            "mov {done}, xzr",
            "adrp {cell}, 6b",
            "add {cell}, {cell}, :lo12:6b",
            "str {cell}, [{thread}, {rseq_cs}]",
            // Nothing may come between: a thread cut off there would go on unwatched.
            "3:",
            "ldr {cell:w}, [{thread}, {number}]",
            "cmp {cell:w}, {cores}",
            "b.hs 4f",
            "add {cell}, {core_slots}, {cell}, lsl {slot_shift}",
            "ldr {cell}, [{cell}]",
            "cbz {cell}, 4f",
            "add {cell}, {cell}, {magazine}",
            $($step,)*
            "4:",
            "str xzr, [{thread}, {rseq_cs}]",
            rseq_cs = in(reg) $place.area + RSEQ_CS,
            number = in(reg) $place.number,
            core_slots = in(reg) $place.core_slots,
            magazine = in(reg) $place.magazine,
            thread = out(reg) _,
            cell = out(reg) _,
            signature = const SIGNATURE,
            cores = const CORES,
            slot_shift = const SLOT_SHIFT,
            $($operands)*
            options(nostack)
        )
    };
}

#[inline(always)]
pub unsafe fn pop(place: Place) -> usize {
    let address;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "ldr {count:w}, [{cell}]",
                "cbz {count:w}, 4f",
                "ldr {done}, [{cell}, {count}, lsl #3]",
                "sub {count:w}, {count:w}, #1",
                "str {count:w}, [{cell}]",
            ],
            count = out(reg) _,
            done = out(reg) address,
        );
    }
    address
}

#[inline(always)]
pub unsafe fn push(place: Place, address: usize) -> usize {
    let new_count;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "ldp {count:w}, {limit:w}, [{cell}]",
                "cmp {count:w}, {limit:w}",
                "b.hs 4f",
                "add {done:w}, {count:w}, #1",
                "str {address}, [{cell}, {done}, lsl #3]",
                "str {done:w}, [{cell}]",
            ],
            address = in(reg) address,
            count = out(reg) _,
            done = out(reg) new_count,
            limit = out(reg) _,
        );
    }
    new_count
}

pub unsafe fn pop_many(place: Place, to: *mut usize, wanted: usize) -> usize {
    let popped;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "ldr {count:w}, [{cell}]",
                "cmp {count}, {wanted}",
                "csel {left}, {count}, {wanted}, lo",
                "cbz {left}, 4f",
                "mov {done}, {left}",
                "sub {count}, {count}, {left}",
                "add {from}, {cell}, {count}, lsl #3",
                "7:",
                "ldr {address}, [{from}, {left}, lsl #3]",
                "sub {left}, {left}, #1",
                "str {address}, [{to}, {left}, lsl #3]",
                "cbnz {left}, 7b",
                "str {count:w}, [{cell}]",
            ],
            wanted = in(reg) wanted,
            to = in(reg) to,
            count = out(reg) _,
            left = out(reg) _,
            from = out(reg) _,
            address = out(reg) _,
            done = out(reg) popped,
        );
    }
    popped
}

pub unsafe fn push_many(place: Place, end: *const usize, inside: usize) -> usize {
    let pushed;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "ldp {count:w}, {left:w}, [{cell}]",
                "subs {left}, {left}, {count}",
                "b.ls 4f",
                "cmp {left}, {inside}",
                "csel {left}, {left}, {inside}, lo",
                "mov {done}, {left}",
                "add {to}, {cell}, {count}, lsl #3",
                "add {count}, {count}, {left}",
                "mov {from}, {end}",
                "7:",
                "ldr {address}, [{from}, #-8]!",
                "str {address}, [{to}, #8]!",
                "subs {left}, {left}, #1",
                "b.ne 7b",
                "str {count:w}, [{cell}]",
            ],
            inside = in(reg) inside,
            end = in(reg) end,
            count = out(reg) _,
            left = out(reg) _,
            from = out(reg) _,
            to = out(reg) _,
            address = out(reg) _,
            done = out(reg) pushed,
        );
    }
    pushed
}

/// Adds 1 to the count, in a sequence that takes `delay` rounds of a loop; counts how often it begins. Returns the new count.
#[cfg(test)]
pub unsafe fn dawdle(place: Place, delay: usize, attempts: *mut usize) -> usize {
    let new_count;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "ldr {count}, [{attempts}]",
                "add {count}, {count}, #1",
                "str {count}, [{attempts}]",
                "ldr {count:w}, [{cell}]",
                "mov {left}, {delay}",
                "7:",
                "subs {left}, {left}, #1",
                "b.ne 7b",
                "add {done:w}, {count:w}, #1",
                "str {done:w}, [{cell}]",
            ],
            delay = in(reg) delay,
            attempts = in(reg) attempts,
            count = out(reg) _,
            left = out(reg) _,
            done = out(reg) new_count,
        );
    }
    new_count
}

/// The address of a symbol, or null where the linker finds none.
#[cfg(target_feature = "crt-static")]
macro_rules! address_of_weak {
    ($name:literal) => {{
        let address: *const u8;
        core::arch::asm!(
            concat!(".weak ", $name),
            concat!("adrp {address}, :got:", $name),
            concat!("ldr {address}, [{address}, :got_lo12:", $name, "]"),
            address = out(reg) address,
            options(nostack, preserves_flags, readonly)
        );
        address
    }};
}
#[cfg(target_feature = "crt-static")]
pub(super) use address_of_weak;
