//! Taking a core heap away from its lessee, and giving it back.
//!
//! *Role*: the slow side of [`Leased`]'s protocol, which says what E1 to E5 are.

use core::ptr::{null, null_mut};

use super::seats::{MOVED, Seat};
use super::{Leased, Threads, WAITS};
use crate::base::sync::{Ordering, fence};

/// A core heap that this context has taken; given to the lessee when dropped, or to nobody if that has another one by then.
pub(super) struct Taken<'a, T: Threads, const CORES: usize, const SEATS: usize> {
    leased: &'a Leased<T, CORES, SEATS>,
    core: usize,
    heap: *mut (),
    /// Null, or one of the seats.
    pub lessee: *const Seat,
}

impl<'a, T: Threads, const CORES: usize, const SEATS: usize> Taken<'a, T, CORES, SEATS> {
    fn seat(&self) -> Option<&'a Seat> {
        // SAFETY: seats stay as long as the value (J1).
        unsafe { self.lessee.as_ref() }
    }

    /// Whether the lessee is not inside a pop or push any more (E4). Call it after a barrier if [`needs_barrier`](Self::needs_barrier).
    pub fn is_left(&self) -> bool {
        let Some(seat) = self.seat() else { return true };
        for _ in 0..WAITS {
            // 0 is of no process.
            if seat.busy.load(Ordering::Acquire) != T::generation() {
                return true;
            }
            core::hint::spin_loop();
        }
        false
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
        let lessee = if seat.is_some() { self.lessee.cast_mut() } else { null_mut() };
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
        let taken = Taken { leased: self, core, heap, lessee };
        if let Some(seat) = taken.seat() {
            // Unless its thread moves (E1).
            let _ = seat.heap.compare_exchange(heap, null_mut(), Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(taken)
    }
}
