//! The sequences on x86-64.
//!
//! *Role*: the instructions of [`sequences`](super::sequences), which says what is promised to them and what they return.

use core::arch::asm;

use coreheap::Geometry;
use coreheap::port::CoreHeap;

use super::sequences::{Place, RSEQ_CS};

/// What lies before an abort address, as glibc registered it.
pub const SIGNATURE: u32 = 0x5305_3053;

/// A sequence, given the steps after `{magazine}` was set to where the magazine's `newest` lies.
///
/// Labels: 2 begin, 3 start of what the kernel watches, 4 end, where steps that give up jump to; 5 abort; 6 the descriptor; 7 and 8 are the steps' own.
/// Inputs are never written, since everything from 2 on may run more than once.
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
            "lea {magazine}, [rip + 6b]",
            "mov qword ptr fs:[{area} + {rseq_cs}], {magazine}",
            // Nothing may come between: a thread cut off there would go on unwatched.
            "3:",
            "movsxd {magazine}, dword ptr fs:[{number}]",
            "mov {magazine}, qword ptr [{leads} + {magazine} * 8]",
            "lea {magazine}, [{magazine} + {class} * 8]",
            $($step,)*
            "4:",
            "mov qword ptr fs:[{area} + {rseq_cs}], 0",
            area = in(reg) $place.area,
            number = in(reg) $place.number,
            leads = in(reg) $place.leads,
            class = in(reg) $place.class,
            magazine = out(reg) _,
            rseq_cs = const RSEQ_CS,
            signature = const SIGNATURE,
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
                "mov {newest}, qword ptr [{magazine}]",
                "mov {address}, qword ptr [{newest}]",
                "test {address}, {address}",
                "jz 4f",
                "sub {newest}, 8",
                "mov qword ptr [{magazine}], {newest}",
            ],
            newest = out(reg) _,
            address = out(reg) address,
        );
    }
    address
}

#[inline(always)]
pub unsafe fn push<G: Geometry>(place: Place, address: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "mov {newest}, qword ptr [{magazine}]",
                "cmp {newest}, qword ptr [{magazine} + {limits}]",
                "jae {full}",
                "add {newest}, 8",
                "mov qword ptr [{newest}], {address}",
                "mov qword ptr [{magazine}], {newest}",
            ],
            address = in(reg) address,
            newest = out(reg) _,
            limits = const CoreHeap::<G>::LIMITS,
            full = label {
                // SAFETY: the field that the sequence has set.
                unsafe { clear(place) };
                return false;
            },
        );
    }
    true
}

/// Clears `rseq_cs` behind a sequence that was left on its way (Q7).
#[inline(always)]
unsafe fn clear(place: Place) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov qword ptr fs:[{} + {}], 0", in(reg) place.area, const RSEQ_CS, options(nostack, preserves_flags)) };
}

pub unsafe fn pop_many(place: Place, to: *mut usize, wanted: usize) -> usize {
    let popped;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "xor {popped:e}, {popped:e}",
                "mov {newest}, qword ptr [{magazine}]",
                "7:",
                "mov {address}, qword ptr [{newest}]",
                "test {address}, {address}",
                "jz 8f",
                "mov qword ptr [{to} + {popped} * 8], {address}",
                "sub {newest}, 8",
                "add {popped}, 1",
                "cmp {popped}, {wanted}",
                "jb 7b",
                "8:",
                "test {popped}, {popped}",
                "jz 4f",
                "mov qword ptr [{magazine}], {newest}",
            ],
            wanted = in(reg) wanted,
            to = in(reg) to,
            newest = out(reg) _,
            address = out(reg) _,
            popped = out(reg) popped,
        );
    }
    popped
}

pub unsafe fn push_many<G: Geometry>(place: Place, end: *const usize, inside: usize) -> usize {
    let pushed;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "xor {pushed:e}, {pushed:e}",
                "mov {newest}, qword ptr [{magazine}]",
                "mov {left}, qword ptr [{magazine} + {limits}]",
                "sub {left}, {newest}",
                "jbe 4f",
                "shr {left}, 3",
                "cmp {left}, {inside}",
                "cmova {left}, {inside}",
                "mov {pushed}, {left}",
                "mov {from}, {end}",
                "7:",
                "sub {from}, 8",
                "mov {address}, qword ptr [{from}]",
                "add {newest}, 8",
                "mov qword ptr [{newest}], {address}",
                "sub {left}, 1",
                "jnz 7b",
                "mov qword ptr [{magazine}], {newest}",
            ],
            inside = in(reg) inside,
            end = in(reg) end,
            newest = out(reg) _,
            left = out(reg) _,
            from = out(reg) _,
            address = out(reg) _,
            pushed = out(reg) pushed,
            limits = const CoreHeap::<G>::LIMITS,
        );
    }
    pushed
}

/// Moves `limit` on by one, unless it is `newest`, in a sequence that takes `delay` rounds of a loop; counts how often it begins. Says whether it did.
#[cfg(test)]
pub unsafe fn dawdle<G: Geometry>(place: Place, delay: usize, attempts: *mut usize) -> bool {
    let limit: usize;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "add qword ptr [{attempts}], 1",
                "xor {limit:e}, {limit:e}",
                "mov {before}, qword ptr [{magazine} + {limits}]",
                "cmp {before}, qword ptr [{magazine}]",
                "je 4f",
                "mov {left}, {delay}",
                "7:",
                "sub {left}, 1",
                "jnz 7b",
                "lea {limit}, [{before} + 8]",
                "mov qword ptr [{magazine} + {limits}], {limit}",
            ],
            delay = in(reg) delay,
            attempts = in(reg) attempts,
            left = out(reg) _,
            before = out(reg) _,
            limit = out(reg) limit,
            limits = const CoreHeap::<G>::LIMITS,
        );
    }
    limit != 0
}

/// Where the area of [`registration`](super::registration) lies, from the thread pointer.
#[cfg(target_env = "musl")]
pub fn offset_of_area() -> isize {
    let offset;
    // SAFETY: loads a constant that the linker filled in.
    unsafe {
        asm!(
            "mov {}, qword ptr [rip + coreheap_rseq_area_1@GOTTPOFF]",
            out(reg) offset,
            options(nostack, preserves_flags, readonly, pure)
        );
    }
    offset
}

/// The address of a symbol, or null where the linker finds none.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
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
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) use address_of_weak;
