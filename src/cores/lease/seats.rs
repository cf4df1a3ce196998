//! Seats: a cache line for each thread, found by the thread's number.
//!
//! *Role*: where [`Leased`](super::Leased) keeps what it knows of a thread. Seats lie in tables. A thread tries a few seats of the newest table
//! only, so that it finds its own in a few instructions, however many there are. Where all of them are others', there is a new table, twice as
//! big, and threads that have a seat in an older one move when they come to the slow path.
//!
//! *Invariants*
//! - J1: a table is complete when it is published, stays where it is as long as the value, and leads to the one before. Only its seats change.
//! - J2: a seat's `thread` is set once and never changes. Nobody but that thread sets `busy` or moves to another seat. So no seat is ever taken
//!   from a thread that may be in the middle of a pop or push.
//!
//! *Contexts*: a signal handler may come in at any point, and take a seat or make a table in between.

use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

use super::Threads;
use crate::base::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, const_but_in_models};

/// Seats that a thread tries.
pub(super) const PROBES: usize = 4;

/// One thread's.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Seat {
    /// What the thread calls itself; 0: nobody has this seat yet.
    pub thread: AtomicUsize,
    /// The core heap that is leased to the thread, null, or [`MOVED`].
    pub heap: AtomicPtr<()>,
    /// The process in which the thread is inside a pop or push; 0: it is in none.
    pub busy: AtomicU32,
    /// How often the thread came to the slow path without a lease.
    pub missed: AtomicU32,
    /// Which core's heap that was, when its thread last asked: a hint.
    pub core: AtomicUsize,
}

/// In place of a core heap: the thread has another seat now, and gets no lease here any more.
pub(super) const MOVED: *mut () = core::ptr::without_provenance_mut(1);

impl Seat {
    const_but_in_models! {
        /// That of `thread`, without a lease.
        pub fn new(thread: usize) -> Self {
            Seat {
                thread: AtomicUsize::new(thread),
                heap: AtomicPtr::new(null_mut()),
                busy: AtomicU32::new(0),
                missed: AtomicU32::new(0),
                core: AtomicUsize::new(0),
            }
        }
    }
}

/// What a table begins with; its seats follow.
#[derive(Debug)]
#[repr(C, align(64))]
struct Header {
    /// Mask for a seat's offset in bytes: the number of seats is a power of two.
    mask: usize,
    /// The table before, or null.
    older: *const Header,
}

/// A table, for as long as its seats are borrowed.
#[derive(Clone, Copy)]
pub(super) struct Table<'a>(NonNull<Header>, PhantomData<&'a Seat>);

impl<'a> Table<'a> {
    #[inline(always)]
    fn header(self) -> &'a Header {
        // SAFETY: J1.
        unsafe { self.0.as_ref() }
    }

    /// The seat at this offset from the first one, which wraps around.
    #[inline(always)]
    fn seat_at(self, offset: usize) -> &'a Seat {
        // SAFETY: J1: what the mask lets through is the offset of a seat.
        unsafe { self.0.byte_add(size_of::<Header>() + (offset & self.header().mask)).cast().as_ref() }
    }

    #[inline(always)]
    fn tried_by(self, thread: usize) -> impl Iterator<Item = &'a Seat> {
        (0..PROBES).map(move |probe| self.seat_at(spread(thread).wrapping_add(probe * size_of::<Seat>())))
    }

    /// The thread's seat here.
    #[inline(always)]
    pub fn seat_of(self, thread: usize) -> Option<&'a Seat> {
        self.tried_by(thread).find(|seat| seat.thread.load(Ordering::Relaxed) == thread)
    }

    /// Makes a seat here the thread's, which has none yet (J2).
    pub fn claim(self, thread: usize) -> Option<&'a Seat> {
        let claim = |seat: &&Seat| seat.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let _ = self.tried_by(thread).any(|seat| claim(&seat));
        // The first of its seats: a signal handler may have been faster than this.
        self.seat_of(thread)
    }

    /// The tables before this one, the newest first.
    pub fn older(self) -> impl Iterator<Item = Table<'a>> {
        let before = |table: &Self| NonNull::new(table.header().older.cast_mut()).map(|header| Table(header, PhantomData));
        core::iter::successors(before(&self), before)
    }

    fn seats(self) -> impl Iterator<Item = &'a Seat> {
        (0..self.seat_count()).map(move |seat| self.seat_at(seat * size_of::<Seat>()))
    }

    fn seat_count(self) -> usize {
        self.header().mask / size_of::<Seat>() + 1
    }

    fn size_bytes(self) -> usize {
        size_of::<Header>() + self.seat_count() * size_of::<Seat>()
    }
}

/// The way to a thread's first seat in the biggest table, in bytes.
#[inline(always)]
pub(super) fn spread(thread: usize) -> usize {
    // The upper half of the product depends on every bit of the lower half of the number.
    thread.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize) >> (usize::BITS / 2 - size_of::<Seat>().trailing_zeros())
}

/// All seats. `FIRST` is how many there are at first, and a power of two.
#[derive(Debug)]
pub(super) struct Seats<T: Threads, const FIRST: usize> {
    newest: AtomicPtr<Header>,
    threads: PhantomData<T>,
}

impl<T: Threads, const FIRST: usize> Seats<T, FIRST> {
    const_but_in_models! {
        /// None yet: all zero.
        pub fn new() -> Self {
            const { assert!(FIRST.is_power_of_two()) };
            Seats { newest: AtomicPtr::new(null_mut()), threads: PhantomData }
        }
    }

    /// The table in which threads look for their seats.
    #[inline(always)]
    pub fn newest(&self) -> Option<Table<'_>> {
        // Acquire pairs with the Release in `grow`.
        NonNull::new(self.newest.load(Ordering::Acquire)).map(|header| Table(header, PhantomData))
    }

    /// Every seat.
    pub fn iter(&self) -> impl Iterator<Item = &Seat> {
        core::iter::successors(self.newest(), |table| table.older().next()).flat_map(Table::seats)
    }

    /// Makes a table that is newer than `newest`; true as well if somebody else did.
    #[cold]
    pub fn grow(&self, newest: Option<Table<'_>>) -> bool {
        let seat_count = newest.map_or(FIRST, |table| 2 * table.seat_count());
        let before = newest.map_or(null_mut(), |table| table.0.as_ptr());
        // More would not be reached by the upper half of a product.
        if seat_count.trailing_zeros() > usize::BITS / 2 {
            return false;
        }
        let size = size_of::<Header>() + seat_count * size_of::<Seat>();
        let Some(memory) = T::table(size) else { return false };
        let header = memory.cast::<Header>();
        // SAFETY: fresh memory of this size. All zero, a seat is nobody's; loom's atomics must be made.
        unsafe {
            header.write(Header { mask: (seat_count - 1) * size_of::<Seat>(), older: before });
            if cfg!(loom) {
                (0..seat_count).for_each(|seat| header.add(1).cast::<Seat>().add(seat).write(Seat::new(0)));
            }
        }
        // Release: J1.
        if self.newest.compare_exchange(before, header.as_ptr(), Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: from there, and nobody has seen it.
            unsafe { T::return_table(memory, size) };
        }
        true
    }
}

impl<T: Threads, const FIRST: usize> Drop for Seats<T, FIRST> {
    fn drop(&mut self) {
        let mut table = self.newest();
        while let Some(newest) = table {
            table = newest.older().next();
            // SAFETY: it came from there, and nobody uses the value any more.
            unsafe { T::return_table(newest.0.cast(), newest.size_bytes()) };
        }
    }
}
