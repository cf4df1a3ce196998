//! How all cores forget pages (a TLB shootdown).
//!
//! Who has unmapped pages takes a ticket, empties its own TLB, and interrupts the other cores. Each of them empties its TLB and says up to which
//! ticket. When all have come to the ticket or a later one, the frames are free.
//!
//! Nobody can wait for ever, because the interrupt is an NMI, which comes through where interrupts are off, and its handler waits for
//! nothing. So a core answers in the middle of a lock, in the handler of another interrupt, and while it waits for answers itself:
//! two that unmap at once answer each other. Who unmaps may therefore hold locks that others wait for, with interrupts on or off.
//!
//! NMIs are not counted, so none stands for one ticket: several that come at once may be one, which answers all tickets up to then. One that is
//! sent while a core is in the handler is kept, and the handler runs again: no ticket is missed.

use core::array;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::tlb::flush_all;

use super::apic;
use crate::arch;
use crate::cores::CORES;

/// The last ticket.
static TICKETS: AtomicU64 = AtomicU64::new(0);
/// The last ticket that each core has answered.
static ANSWERED: [AtomicU64; CORES] = [const { AtomicU64::new(NOT_UP) }; CORES];

/// Later than any ticket: who is not up knows no pages, and has no handler for an NMI yet.
const NOT_UP: u64 = u64::MAX;

/// From here on this core takes part. It has its handler.
pub fn join() {
    ANSWERED[arch::core()].store(0, Ordering::SeqCst);
    // Who took a ticket before that did not see this core, and unmapped what it may have read since it turned paging on.
    flush_all();
}

/// Whether a core takes part.
pub fn has_joined(core: usize) -> bool {
    ANSWERED[core].load(Ordering::SeqCst) != NOT_UP
}

/// All cores forget the pages that have been unmapped until now.
pub fn shoot_down() {
    let ticket = TICKETS.fetch_add(1, Ordering::SeqCst) + 1;
    flush_all();
    let own = arch::core();
    let owes = |core: usize| core != own && ANSWERED[core].load(Ordering::SeqCst) < ticket;
    // Who joins between the two loops is not asked, and need not be.
    let is_asked: [bool; CORES] = array::from_fn(|core| {
        let owes = owes(core);
        if owes {
            apic::send(core, apic::NMI);
        }
        owes
    });
    for core in (0..CORES).filter(|core| is_asked[*core]) {
        while owes(core) {
            spin_loop();
        }
    }
}

/// What the NMI's handler does. NMIs are off until it returns.
pub extern "C" fn answer() {
    let ticket = TICKETS.load(Ordering::SeqCst);
    flush_all();
    ANSWERED[arch::core()].store(ticket, Ordering::SeqCst);
}
