//! The sequences themselves.
//!
//! *Role*: pops and pushes of [`RseqCores`], each a restartable sequence; the module above explains the protocol and its invariants.

use core::arch::asm;
use core::num::{NonZeroIsize, NonZeroUsize};
use core::sync::atomic::Ordering;

use coreheap::{Block, Blocks, CoreSlot, Geometry, Magazine, SizeClass};

use super::{CORES, RseqCores};

/// Where `rseq_cs` lies in a thread's area.
const RSEQ_CS: usize = 8;

// A magazine is its count, its limit and its slots; a core heap begins with its magazines; a slot begins with `open`.
const LIMIT: usize = 4;
const SLOTS: usize = 8;
const _: () = assert!(size_of::<CoreSlot>().is_power_of_two(), "a core's number becomes a slot's offset by a shift");

/// A sequence that leaves in `{done}` what it did, 0 for nothing, given the steps after `{cell}` was set to the magazine.
///
/// Labels: 2 begin, 3 start of what the kernel watches, 4 end, where steps that give up jump to; 5 abort; 6 the descriptor. Inputs
/// are never written, since everything from 2 on may run more than once.
macro_rules! sequence {
    ($cores:expr, $area:expr, $class:expr, [$($step:literal),* $(,)?], $($operands:tt)*) => {
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
            ".long 0x53053053", // the signature that glibc registered
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
            area = in(reg) $area.get(),
            number = in(reg) $cores.number.load(Ordering::Relaxed),
            core_slots = in(reg) $cores.slots.as_ptr(),
            magazine = in(reg) $class.index() * size_of::<Magazine<G>>(),
            cell = out(reg) _,
            rseq_cs = const RSEQ_CS,
            cores = const CORES,
            slot_shift = const size_of::<CoreSlot>().trailing_zeros(),
            $($operands)*
            options(nostack)
        )
    };
}

impl RseqCores {
    /// Pops a block from this core's magazine of `class`.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value, `class` a class of it, and `area` what [`area`](Self::area) said.
    #[inline(always)]
    pub unsafe fn pop<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass) -> Option<Block> {
        if !G::HAS_MAGAZINES {
            return None;
        }
        let address: usize;
        // SAFETY: the caller names the geometry, so `open` leads to a `CoreHeap<G>` with a magazine for each class; Q1 to Q3 keep
        // everybody else off; M1: slots below `count` hold blocks, and the one that was popped is this context's.
        unsafe {
            sequence!(
                self,
                area,
                class,
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
            NonZeroUsize::new(address).map(|address| Block::from_address(address))
        }
    }

    /// Pushes a block into this core's magazine of `class`, or gives it back.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block is of that class.
    #[inline(always)]
    pub unsafe fn push<G: Geometry>(&self, area: NonZeroIsize, class: SizeClass, block: Block) -> Result<(), Block> {
        if !G::HAS_MAGAZINES {
            return Err(block);
        }
        let new_count: usize;
        // SAFETY: as in `pop`; M1: there is a slot for each count below `limit`.
        unsafe {
            sequence!(
                self,
                area,
                class,
                [
                    "mov {count:e}, dword ptr [{cell}]",
                    "cmp {count:e}, dword ptr [{cell} + {limit}]",
                    "jae 4f",
                    "mov qword ptr [{cell} + {count} * 8 + {slots}], {address}",
                    "lea {done:e}, [{count} + 1]",
                    "mov dword ptr [{cell}], {done:e}",
                ],
                address = in(reg) block.address(),
                count = out(reg) _,
                done = out(reg) new_count,
                limit = const LIMIT,
                slots = const SLOTS,
            );
        }
        if new_count != 0 { Ok(()) } else { Err(block) }
    }

    /// Pops until there are `most` blocks in `blocks` or none is left here: one sequence.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); `most` is at most [`Blocks::CAPACITY`].
    pub unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        let inside = blocks.addresses().len();
        let Some(area) = self.area().filter(|_| G::HAS_MAGAZINES && inside < most) else { return };
        let popped: usize;
        // SAFETY: as in `pop`; there is room for as many as are wanted, and nobody minds if they are written there twice.
        unsafe {
            sequence!(
                self,
                area,
                class,
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
                wanted = in(reg) most - inside,
                to = in(reg) blocks.as_mut_ptr().add(inside),
                count = out(reg) _,
                left = out(reg) _,
                from = out(reg) _,
                address = out(reg) _,
                done = out(reg) popped,
                slots = const SLOTS,
            );
            blocks.set_count(inside + popped);
        }
    }

    /// Pushes from `blocks`, the last first, until none is left there or there is no room here: one sequence.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    pub unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        let inside = blocks.addresses().len();
        let Some(area) = self.area().filter(|_| G::HAS_MAGAZINES && inside > 0) else { return };
        let pushed: usize;
        // SAFETY: as in `push`; only addresses that are inside are read.
        unsafe {
            sequence!(
                self,
                area,
                class,
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
                end = in(reg) blocks.as_mut_ptr().add(inside),
                count = out(reg) _,
                left = out(reg) _,
                from = out(reg) _,
                to = out(reg) _,
                address = out(reg) _,
                done = out(reg) pushed,
                limit = const LIMIT,
                slots = const SLOTS,
            );
            blocks.set_count(inside - pushed);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
