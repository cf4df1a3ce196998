//! The sequences on x86-64.
//!
//! *Role*: the instructions of [`sequences`](super::sequences), which says what is promised to them and what they return.

use core::arch::asm;

use super::CORES;
use super::sequences::{LIMIT, Place, RSEQ_CS, SLOT_SHIFT, SLOTS};

/// What lies before an abort address, as glibc registered it.
pub const SIGNATURE: u32 = 0x5305_3053;

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
            ".byte 0x0f, 0xb9, 0x3d", // for disassemblers: makes the signature an operand of an undefined instruction
            ".long {signature}",
            "5:",
            "jmp 2f",
            ".popsection",
            "2:",
            "xor {done:e}, {done:e}",
            "lea {cell}, [rip + 6b]",
            "mov qword ptr fs:[{area} + {rseq_cs}], {cell}",
            // Nothing may come between: a thread cut off there would go on unwatched.
            "3:",
            "mov {cell:e}, dword ptr fs:[{number}]",
            "cmp {cell:e}, {cores}",
            "jae 4f",
            "shl {cell:e}, {slot_shift}",
            "mov {cell}, qword ptr [{core_slots} + {cell}]",
            "test {cell}, {cell}",
            "jz 4f",
            "add {cell}, {magazine}",
            $($step,)*
            "4:",
            "mov qword ptr fs:[{area} + {rseq_cs}], 0",
            area = in(reg) $place.area,
            number = in(reg) $place.number,
            core_slots = in(reg) $place.core_slots,
            magazine = in(reg) $place.magazine,
            cell = out(reg) _,
            rseq_cs = const RSEQ_CS,
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
                "mov {count:e}, dword ptr [{cell}]",
                "sub {count:e}, 1",
                "jb 4f",
                "mov {done}, qword ptr [{cell} + {count} * 8 + {slots}]",
                "mov dword ptr [{cell}], {count:e}",
            ],
            count = out(reg) _,
            done = out(reg) address,
            slots = const SLOTS,
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
                "mov {count:e}, dword ptr [{cell}]",
                "cmp {count:e}, dword ptr [{cell} + {limit}]",
                "jae 4f",
                "mov qword ptr [{cell} + {count} * 8 + {slots}], {address}",
                "lea {done:e}, [{count} + 1]",
                "mov dword ptr [{cell}], {done:e}",
            ],
            address = in(reg) address,
            count = out(reg) _,
            done = out(reg) new_count,
            limit = const LIMIT,
            slots = const SLOTS,
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
                "mov {count:e}, dword ptr [{cell}]",
                "mov {left}, {wanted}",
                "cmp {left}, {count}",
                "cmova {left}, {count}",
                "test {left}, {left}",
                "jz 4f",
                "mov {done}, {left}",
                "sub {count}, {left}",
                "lea {from}, [{cell} + {count} * 8 + {slots}]",
                "7:",
                "mov {address}, qword ptr [{from} + {left} * 8 - 8]",
                "mov qword ptr [{to} + {left} * 8 - 8], {address}",
                "sub {left}, 1",
                "jnz 7b",
                "mov dword ptr [{cell}], {count:e}",
            ],
            wanted = in(reg) wanted,
            to = in(reg) to,
            count = out(reg) _,
            left = out(reg) _,
            from = out(reg) _,
            address = out(reg) _,
            done = out(reg) popped,
            slots = const SLOTS,
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
                "mov {count:e}, dword ptr [{cell}]",
                "mov {left:e}, dword ptr [{cell} + {limit}]",
                "sub {left}, {count}",
                "jbe 4f",
                "cmp {left}, {inside}",
                "cmova {left}, {inside}",
                "mov {done}, {left}",
                "lea {to}, [{cell} + {count} * 8 + {slots}]",
                "add {count}, {left}",
                "mov {from}, {end}",
                "7:",
                "sub {from}, 8",
                "mov {address}, qword ptr [{from}]",
                "mov qword ptr [{to}], {address}",
                "add {to}, 8",
                "sub {left}, 1",
                "jnz 7b",
                "mov dword ptr [{cell}], {count:e}",
            ],
            inside = in(reg) inside,
            end = in(reg) end,
            count = out(reg) _,
            left = out(reg) _,
            from = out(reg) _,
            to = out(reg) _,
            address = out(reg) _,
            done = out(reg) pushed,
            limit = const LIMIT,
            slots = const SLOTS,
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
                "add qword ptr [{attempts}], 1",
                "mov {count:e}, dword ptr [{cell}]",
                "mov {left}, {delay}",
                "7:",
                "sub {left}, 1",
                "jnz 7b",
                "lea {done:e}, [{count} + 1]",
                "mov dword ptr [{cell}], {done:e}",
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
            concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
            out(reg) address,
            options(nostack, preserves_flags, readonly)
        );
        address
    }};
}
#[cfg(target_feature = "crt-static")]
pub(super) use address_of_weak;
