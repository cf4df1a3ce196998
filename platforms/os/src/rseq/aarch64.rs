//! The sequences on AArch64.
//!
//! *Role*: the instructions of [`sequences`](super::sequences), which says what is promised to them and what they return.

use core::arch::asm;

use coreheap::Geometry;
use coreheap::port::CoreHeap;

use super::sequences::{Place, RSEQ_CS};

/// What lies before an abort address, as glibc registered it: a `brk`.
pub const SIGNATURE: u32 = 0xd428_bc00;

/// A sequence, given the steps after `{magazine}` was set to where the magazine's `newest` lies.
///
/// Labels: 2 begin, 3 start of what the kernel watches, 4 end, where steps that give up jump to; 5 abort; 6 the descriptor; 7 and 8 are the steps' own.
/// Inputs are never written, since everything from 2 on may run more than once. No conditional branch leaves the section: it does not reach far.
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
            "adrp {magazine}, 6b",
            "add {magazine}, {magazine}, :lo12:6b",
            "str {magazine}, [{thread}, {rseq_cs}]",
            // Nothing may come between: a thread cut off there would go on unwatched.
            "3:",
            "ldrsw {magazine}, [{thread}, {number}]",
            "ldr {magazine}, [{leads}, {magazine}, lsl #3]",
            "add {magazine}, {magazine}, {class}, lsl #3",
            $($step,)*
            "4:",
            "str xzr, [{thread}, {rseq_cs}]",
            rseq_cs = in(reg) $place.area + RSEQ_CS,
            number = in(reg) $place.number,
            leads = in(reg) $place.leads,
            class = in(reg) $place.class,
            thread = out(reg) _,
            magazine = out(reg) _,
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
                "ldr {newest}, [{magazine}]",
                "ldr {address}, [{newest}]",
                "cbz {address}, 4f",
                "sub {newest}, {newest}, #8",
                "str {newest}, [{magazine}]",
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
                "ldr {newest}, [{magazine}]",
                "ldr {limit}, [{magazine}, {limits}]",
                "cmp {newest}, {limit}",
                "b.hs {full}",
                "str {address}, [{newest}, #8]!",
                "str {newest}, [{magazine}]",
            ],
            address = in(reg) address,
            newest = out(reg) _,
            limit = out(reg) _,
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
    unsafe {
        asm!(
            "mrs {thread}, tpidr_el0",
            "str xzr, [{thread}, {rseq_cs}]",
            thread = out(reg) _,
            rseq_cs = in(reg) place.area + RSEQ_CS,
            options(nostack, preserves_flags),
        );
    }
}

pub unsafe fn pop_many(place: Place, to: *mut usize, wanted: usize) -> usize {
    let popped;
    // SAFETY: the caller's promise.
    unsafe {
        sequence!(
            place,
            [
                "mov {popped}, xzr",
                "ldr {newest}, [{magazine}]",
                "7:",
                "ldr {address}, [{newest}]",
                "cbz {address}, 8f",
                "str {address}, [{to}, {popped}, lsl #3]",
                "sub {newest}, {newest}, #8",
                "add {popped}, {popped}, #1",
                "cmp {popped}, {wanted}",
                "b.lo 7b",
                "8:",
                "cbz {popped}, 4f",
                "str {newest}, [{magazine}]",
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
                "mov {pushed}, xzr",
                "ldr {newest}, [{magazine}]",
                "ldr {left}, [{magazine}, {limits}]",
                "subs {left}, {left}, {newest}",
                "b.ls 4f",
                "lsr {left}, {left}, #3",
                "cmp {left}, {inside}",
                "csel {left}, {left}, {inside}, lo",
                "mov {pushed}, {left}",
                "mov {from}, {end}",
                "7:",
                "ldr {address}, [{from}, #-8]!",
                "str {address}, [{newest}, #8]!",
                "subs {left}, {left}, #1",
                "b.ne 7b",
                "str {newest}, [{magazine}]",
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
                "ldr {left}, [{attempts}]",
                "add {left}, {left}, #1",
                "str {left}, [{attempts}]",
                "mov {limit}, xzr",
                "ldr {left}, [{magazine}]",
                "ldr {before}, [{magazine}, {limits}]",
                "cmp {before}, {left}",
                "b.eq 4f",
                "mov {left}, {delay}",
                "7:",
                "subs {left}, {left}, #1",
                "b.ne 7b",
                "add {limit}, {before}, #8",
                "str {limit}, [{magazine}, {limits}]",
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
            "adrp {offset}, :gottprel:coreheap_rseq_area_1",
            "ldr {offset}, [{offset}, :gottprel_lo12:coreheap_rseq_area_1]",
            offset = out(reg) offset,
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
            concat!("adrp {address}, :got:", $name),
            concat!("ldr {address}, [{address}, :got_lo12:", $name, "]"),
            address = out(reg) address,
            options(nostack, preserves_flags, readonly)
        );
        address
    }};
}
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) use address_of_weak;
