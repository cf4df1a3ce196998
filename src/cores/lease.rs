//! Core heaps that are leased to threads: no atomic read-modify-write on the fast path, on any system with a process-wide barrier.
//!
//! *Role*: [`Leased`], the [`CoreLocal`] for hosted systems without restartable sequences. There are a few core heaps for each core, made as
//! they are needed. A thread gets a lease on a free one, or, when there is none, takes that of another thread, and then pops and
//! pushes with plain loads and stores until somebody takes it away. Threads that end leave their lease to whoever comes later: nothing
//! is to be done then.
//!
//! # The protocol
//!
//! Each thread that ever came has a **seat**: a cache line that says which core heap is leased to it, and whether it is inside a pop or
//! push. The thread sets `busy`, then reads `heap`. Whoever takes the lease away sets `heap` to null, has the system run a memory
//! barrier on every core ([`Threads::barrier`]), then waits for `busy` to be clear, a bounded time. So the rare taker pays,
//! not the fast path.
//!
//! *Invariants*
//! - E1: a thread looks for its seat in the newest table only (`seats.rs`: J1, J2). One that has its seat in an older table moves by itself, in
//!   the slow path and not inside a pop or push: it takes a seat in the newest, and then swaps `heap` of the old one for [`MOVED`], which
//!   stays there. If this is a signal handler that interrupted the thread's own pop or push, after that
//!   found the old seat and before it set `busy` there, the pop or push finds `MOVED`, and fails.
//! - E2: a core heap's `lessee` is nobody, a seat, or taken (by a context that moves the lease or works on the core heap). Changes from
//!   either of the first two to the third are by one atomic operation, so there is one winner; only the winner changes it back.
//! - E3: a seat's `heap` is null, `MOVED`, or a core heap whose lessee is this seat, or is taken by somebody who is about to set `heap` to
//!   null or has just set it. Only who has taken a core heap writes its address there, and only over null: so a seat has one core heap at
//!   most. The lessee of a core heap is its seat; or one whose thread may still be inside a pop or push there, although the seat has got
//!   another one meanwhile, or has moved. Only who has seen that thread outside makes it nobody's.
//! - E4: of a thread that sets `busy` and reads `heap`, and a taker that sets `heap` to null and, after the barrier, reads `busy`, at
//!   least one sees what the other wrote.
//! - E5: in the child of a `fork` the marks of other threads are void: `busy` and "taken" say in which process they were made.
//!
//! *Contexts*: signal handlers may allocate and free: if one interrupts a pop or push, `busy` is set, and the page bitmaps serve.

use core::ptr::{NonNull, null_mut};

use crate::base::sync::{
    AtomicPtr, AtomicU32, AtomicUsize, CachePadded, Ordering, array_of, const_but_in_models, fence, light_fence,
};
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::cores::core_local::CoreLocal;
use crate::pages::geometry::Geometry;
use seats::{MOVED, Seat, Seats, Table, spread};
use taken::Taken;

mod seats;
mod taken;

/// What a system says about threads.
///
/// # Safety
/// [`this`](Self::this), [`barrier`](Self::barrier), [`table`](Self::table) and [`generation`](Self::generation) keep their word.
pub unsafe trait Threads: Send + Sync + 'static {
    /// A number that only this thread has while it lives; not 0. Should be as quick as a register.
    fn this() -> usize;

    /// Has every running thread of the process pass a full memory barrier between this call's beginning and end; false if that
    /// cannot be had.
    fn barrier() -> bool;

    /// How many threads can run at a time. Asked once for each heap.
    fn cores() -> usize;

    /// Memory of its own for a heap's threads: some kilobytes at first, and twice as much each time. All zero, and aligned to 64
    /// bytes. It must not come from that heap. `None` if there is none: threads that have no room then go by the page bitmaps.
    fn table(bytes: usize) -> Option<NonNull<u8>>;

    /// Takes such memory back: when the heap is dropped, or at once if another thread made a table first.
    ///
    /// # Safety
    /// It came from [`table`](Self::table), which was asked for so many bytes, and nobody uses it any more.
    unsafe fn return_table(table: NonNull<u8>, bytes: usize);

    /// Which process this is, along a line of forks: another number, not 0, in the child of a `fork`.
    fn generation() -> u32 {
        1
    }
}

/// How often a thread without a lease comes to the slow path before it takes another's: the barrier costs some ten microseconds.
const PATIENCE: u32 = 16;
/// More core heaps than cores: some are out of reach, with threads that stand still inside a pop or push. Fewer than threads: what
/// lies ready in one is of no use to another.
const HEAPS_PER_CORE: usize = 4;
/// How many leases it then tries to take: who stands still inside a pop or push keeps its own.
const VICTIMS: usize = 4;
/// For how many core heaps there is one barrier, where all are asked for.
const TAKEN_AT_ONCE: usize = 64;
/// How long a taker waits for a pop or push that is running to end.
const WAITS: usize = if cfg!(any(loom, miri)) { 2 } else { 1000 };

/// Many threads, a few core heaps for each core, each leased to one thread at a time. Nobody waits, but for a bounded time who takes a lease away.
///
/// `CORES` bounds the core heaps. Threads are as many as there is memory for: 64 bytes for each, in tables of up to ten times as much. `SEATS`, a power of
/// two, is how many there is room for at first.
#[derive(Debug)]
pub struct Leased<T: Threads, const CORES: usize, const SEATS: usize = 64> {
    seats: Seats<T, SEATS>,
    slots: [CoreSlot; CORES],
    /// Of each core heap: null for nobody, a seat, or a [mark](Self::mark) that it is taken.
    lessees: [AtomicPtr<Seat>; CORES],
    next_victim: CachePadded<AtomicUsize>,
    /// How many core heaps are used; 0: not yet asked.
    core_count: AtomicUsize,
    /// So many are made, or more: they are made one after the other.
    made: AtomicUsize,
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Leased<T, CORES, SEATS> {
    const_but_in_models! {
        /// All slots empty.
        pub fn new() -> Self {
            const { assert!(CORES > 0) };
            Leased {
                seats: Seats::new(),
                slots: array_of!(CoreSlot::new()),
                lessees: array_of!(AtomicPtr::new(null_mut())),
                next_victim: CachePadded(AtomicUsize::new(0)),
                core_count: AtomicUsize::new(0),
                made: AtomicUsize::new(0),
            }
        }
    }

    /// `lessee`: taken, in this process. Seats lie at even addresses.
    fn mark() -> *mut Seat {
        core::ptr::without_provenance_mut((T::generation() as usize) << 1 | 1)
    }

    /// This thread's seat, made its own if need be; `None` if there is no memory for one.
    fn own_seat(&self) -> Option<&Seat> {
        let thread = T::this();
        loop {
            let newest = self.seats.newest();
            if let Some(seat) = newest.and_then(|table| table.seat_of(thread)) {
                return Some(seat);
            }
            let old = newest.into_iter().flat_map(Table::older).find_map(|table| table.seat_of(thread));
            if old.is_some_and(|seat| seat.busy.load(Ordering::Relaxed) == T::generation()) {
                // A signal handler that interrupts this thread's own pop or push.
                return old;
            }
            match newest.and_then(|table| table.claim(thread)) {
                Some(seat) => old.into_iter().for_each(|old| self.move_lease(old, seat)),
                None if self.seats.grow(newest) => {}
                None => return None,
            }
            // It is looked for again: there may be a newer table by now (E1).
        }
    }

    /// Gives what is leased to this thread by its old seat to its new one (E1).
    fn move_lease(&self, old: &Seat, new: &Seat) {
        let heap = old.heap.swap(MOVED, Ordering::Relaxed);
        if heap.is_null() || heap == MOVED {
            return;
        }
        // If somebody else has taken it, it is nobody's afterwards (E3). Who gives it back a moment later sees that this has moved.
        fence(Ordering::SeqCst);
        if let Some(mut taken) = self.begin_to_take(self.core_of(old, heap))
            && taken.is_from(old)
        {
            taken.give_to(new);
        }
    }

    /// Begins a pop or push on the core heap that is leased to this thread.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value.
    #[inline(always)]
    unsafe fn enter<G: Geometry>(&self) -> Option<Inside<'_, G>> {
        // SAFETY: the caller's promise.
        unsafe { self.enter_by::<G>(self.seats.newest()?.seat_of(T::this())?) }
    }

    /// The same, from the moment on when the seat was found.
    ///
    /// # Safety
    /// As for [`enter`](Self::enter), with a seat of this thread's.
    #[inline(always)]
    unsafe fn enter_by<'a, G: Geometry>(&'a self, seat: &'a Seat) -> Option<Inside<'a, G>> {
        if seat.busy.load(Ordering::Relaxed) != 0 {
            // A signal handler that interrupts this thread's own pop or push.
            return None;
        }
        seat.busy.store(T::generation(), Ordering::Relaxed);
        // E4, together with the barrier of who takes the lease away.
        light_fence();
        // Acquire pairs with the Release of who leased it.
        let heap = seat.heap.load(Ordering::Acquire);
        let inside = Inside { busy: &seat.busy, heap: heap.cast() };
        (heap.addr() > MOVED.addr()).then_some(inside)
    }

    /// Leases a core heap to the thread of this seat; returns its core, or one to make do with.
    #[cold]
    fn lease(&self, seat: &Seat) -> usize {
        let (count, made) = (self.core_count(), self.made());
        let is_free = |core: &usize| self.lessees[*core].load(Ordering::Relaxed).is_null();
        if let Some(core) = (0..made).filter(is_free).find(|core| self.hand_over(*core, seat)) {
            return core;
        }
        let unmade = Some(made).filter(|made| *made < count);
        if let Some(core) = unmade.filter(|core| seat.core.swap(*core, Ordering::Relaxed) != *core) {
            // It is made by who asked, and leased when the thread comes again. If it is still not made then, there is no room for it.
            return core;
        }
        let missed = seat.missed.load(Ordering::Relaxed);
        let victims = if missed < PATIENCE { 0 } else { VICTIMS };
        seat.missed.store(if victims == 0 { missed + 1 } else { 0 }, Ordering::Relaxed);
        let next = |_| self.next_victim.0.fetch_add(1, Ordering::Relaxed) % made;
        let taken = (0..victims).filter(|_| made > 0).map(next).find(|core| self.hand_over(*core, seat));
        taken.or(unmade).unwrap_or_else(|| self.any_core())
    }

    /// How many core heaps there are: the first ones.
    fn made(&self) -> usize {
        let count = self.core_count();
        let first = self.made.load(Ordering::Relaxed);
        let made = (first..count).find(|core| self.slots[*core].is_empty()).unwrap_or(count);
        self.made.store(made, Ordering::Relaxed);
        made
    }

    /// For a thread without a lease: a core whose heap there is, or the first one.
    fn any_core(&self) -> usize {
        spread(T::this()) / size_of::<Seat>() % self.made().max(1)
    }

    fn hand_over(&self, core: usize, seat: &Seat) -> bool {
        let Some(mut taken) = self.take(core) else { return false };
        taken.give_to(seat);
        true
    }

    /// Which core's heap `heap` is.
    fn core_of(&self, seat: &Seat, heap: *mut ()) -> usize {
        let is_it = |core: &usize| core::ptr::eq(self.slots[*core].address(), heap);
        let hint = seat.core.load(Ordering::Relaxed);
        let core = Some(hint).filter(is_it).or_else(|| (0..self.core_count()).find(is_it)).expect("a seat's heap has a slot");
        seat.core.store(core, Ordering::Relaxed);
        core
    }
}

/// A thread inside a pop or push, until this is dropped.
struct Inside<'a, G: Geometry> {
    busy: &'a AtomicU32,
    heap: *const CoreHeap<G>,
}

impl<G: Geometry> Inside<'_, G> {
    /// The core heap.
    ///
    /// # Safety
    /// [`enter`](Leased::enter) gave this.
    #[inline(always)]
    unsafe fn heap(&self) -> &CoreHeap<G> {
        // SAFETY: who entered named the geometry; E3.
        unsafe { &*self.heap }
    }
}

impl<G: Geometry> Drop for Inside<'_, G> {
    #[inline(always)]
    fn drop(&mut self) {
        // What was done to the core heap comes before this for who waits for it.
        self.busy.store(0, Ordering::Release);
    }
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Default for Leased<T, CORES, SEATS> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: only the lessee pops and pushes (E3, E4), and only while nobody has taken the core heap.
unsafe impl<T: Threads, const CORES: usize, const SEATS: usize> CoreLocal for Leased<T, CORES, SEATS> {
    fn core_count(&self) -> usize {
        match self.core_count.load(Ordering::Relaxed) {
            0 => {
                let count = (HEAPS_PER_CORE * T::cores()).clamp(1, CORES);
                // The first answer counts.
                self.core_count.compare_exchange(0, count, Ordering::Relaxed, Ordering::Relaxed).err().unwrap_or(count)
            }
            count => count,
        }
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core]
    }

    /// The core whose heap is leased to this thread; leases one if need be.
    fn core(&self) -> usize {
        let Some(seat) = self.own_seat() else { return self.any_core() };
        let busy = seat.busy.load(Ordering::Relaxed);
        if busy != 0 && busy != T::generation() {
            // E5: of a thread of a parent process that had the same number.
            seat.busy.store(0, Ordering::Relaxed);
        }
        match seat.heap.load(Ordering::Relaxed) {
            heap if heap.addr() > MOVED.addr() => self.core_of(seat, heap),
            // A signal handler inside this thread's own pop or push, which may be in the core heap that was leased to it: it gets no other one.
            _ if seat.busy.load(Ordering::Relaxed) != 0 => self.any_core(),
            _ => self.lease(seat),
        }
    }

    #[inline(always)]
    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        // SAFETY: the caller names the geometry.
        match unsafe { self.enter::<G>() } {
            // SAFETY: inside, by its lease.
            Some(inside) => Ok(work(unsafe { inside.heap() }, input)),
            None => Err(input),
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller names the geometry.
        let heap = unsafe { self.slots[core].heap::<G>() }?;
        let _taken = self.take(core)?;
        Some(work(heap))
    }

    /// One barrier for up to 64 core heaps.
    unsafe fn alone_on_each<G: Geometry>(&self, mut work: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        let (mut busy, count) = (None, self.core_count());
        for first in (0..count).step_by(TAKEN_AT_ONCE) {
            let cores = (first..count.min(first + TAKEN_AT_ONCE)).filter(|core| !self.slots[*core].is_empty());
            let mut taken = [const { None }; TAKEN_AT_ONCE];
            for core in cores.clone() {
                taken[core - first] = self.begin_to_take(core);
            }
            if taken.iter().flatten().any(Taken::needs_barrier) && !T::barrier() {
                // No use waiting for that: all are given back.
                continue;
            }
            for core in cores {
                // Given back one by one: each is missed for as short as can be.
                let taken = taken[core - first].take().filter(Taken::is_left);
                // SAFETY: the caller names the geometry.
                match (taken, unsafe { self.slots[core].heap::<G>() }) {
                    (Some(_taken), Some(heap)) => work(heap),
                    _ => busy = Some(core),
                }
            }
        }
        busy
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, any(loom, miri)))]
mod model;
