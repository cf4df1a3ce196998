//! Taking a core heap away from its lessee, and giving it back.
//!
//! *Role*: the slow side of [`Leased`]'s protocol, which says what E1 to E5 are.

use core::cell::Cell;
use core::ptr::{null, null_mut};

use super::seats::{MOVED, Seat};
use super::{Leased, Threads, WAITS};
use crate::base::sync::{Ordering, fence};

/// A core heap that this context has taken. When dropped it is given back to the lessee; to nobody if that is known to be outside, and has another one by
/// then.
pub(super) struct Taken<'a, T: Threads, const CORES: usize, const SEATS: usize> {
    leased: &'a Leased<T, CORES, SEATS>,
    core: usize,
    heap: *mut (),
    /// Null, or one of the seats.
    lessee: *const Seat,
    /// Whether the lessee's thread is known to be outside.
    is_outside: Cell<bool>,
}

impl<'a, T: Threads, const CORES: usize, const SEATS: usize> Taken<'a, T, CORES, SEATS> {
    fn seat(&self) -> Option<&'a Seat> {
        // SAFETY: seats stay as long as the value (J1).
        unsafe { self.lessee.as_ref() }
    }

    /// Whether the lessee is not inside a pop or push any more (E4). Call it after a barrier if [`needs_barrier`](Self::needs_barrier).
    pub fn is_left(&self) -> bool {
        let is_outside = |seat: &Seat| {
            (0..WAITS).any(|_| {
                core::hint::spin_loop();
                // 0 is of no process.
                seat.busy.load(Ordering::Acquire) != T::generation()
            })
        };
        self.is_outside.set(self.seat().is_none_or(is_outside));
        self.is_outside.get()
    }

    /// Whether it was taken from this seat.
    pub fn is_from(&self, seat: &Seat) -> bool {
        core::ptr::eq(self.lessee, seat)
    }

    /// Has it go to this seat when it is dropped. The lessee's thread is outside: it has left, or calls this.
    pub fn give_to(&mut self, seat: &Seat) {
        self.lessee = seat;
        self.is_outside.set(true);
    }

    /// Whether another thread may be about to begin a pop or push there.
    pub fn needs_barrier(&self) -> bool {
        self.seat().is_some_and(|seat| seat.thread.load(Ordering::Relaxed) != T::this())
    }
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Drop for Taken<'_, T, CORES, SEATS> {
    fn drop(&mut self) {
        // E3. Release pairs with the Acquire in `enter`.
        let give_to =
            |seat: &Seat| seat.heap.compare_exchange(null_mut(), self.heap, Ordering::Release, Ordering::Relaxed).is_ok();
        let seat = self.seat().filter(|seat| give_to(seat));
        // Who may still be inside stays the lessee: the next taker waits for it (E3).
        let lessee = if seat.is_some() || !self.is_outside.get() { self.lessee.cast_mut() } else { null_mut() };
        let word = &self.leased.lessees[self.core];
        word.store(lessee, Ordering::Release);
        if let Some(seat) = seat {
            // If its thread moved in between, and still found this taken, it is nobody's. The fence pairs with that in `move_lease`.
            fence(Ordering::SeqCst);
            if seat.heap.load(Ordering::Relaxed) == MOVED {
                let _ = word.compare_exchange(lessee, null_mut(), Ordering::Release, Ordering::Relaxed);
            }
        }
    }
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Leased<T, CORES, SEATS> {
    /// Takes a core heap away from its lessee (E2); `None` if it is taken, or the lessee does not leave it in time.
    pub(super) fn take(&self, core: usize) -> Option<Taken<'_, T, CORES, SEATS>> {
        let taken = self.begin_to_take(core)?;
        // If the lessee does not leave it, it gets it back.
        ((!taken.needs_barrier() || T::barrier()) && taken.is_left()).then_some(taken)
    }

    /// The first half of it: nobody begins a pop or push there any more that sees this.
    pub(super) fn begin_to_take(&self, core: usize) -> Option<Taken<'_, T, CORES, SEATS>> {
        let (mine, heap) = (Self::mark(), self.slots[core].address());
        let lessee = self.lessees[core].load(Ordering::Relaxed);
        // Acquire pairs with the Release of `Taken`.
        if lessee == mine || self.lessees[core].compare_exchange(lessee, mine, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return None;
        }
        let lessee = if lessee.addr() & 1 == 0 {
            lessee.cast_const()
        } else {
            // E5: who had taken it was left behind by a `fork`, perhaps before the lessee's seat said so.
            let lessee = self.seats.iter().find(|seat| core::ptr::eq(seat.heap.load(Ordering::Relaxed), heap));
            lessee.map_or(null(), core::ptr::from_ref)
        };
        let taken = Taken { leased: self, core, heap, lessee, is_outside: Cell::new(false) };
        if let Some(seat) = taken.seat() {
            // Unless its thread moves (E1).
            let _ = seat.heap.compare_exchange(heap, null_mut(), Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(taken)
    }
}
