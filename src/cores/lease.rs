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
//! barrier on every core ([`Threads::barrier`]), then waits for `busy` to be clear, a bounded time. So the cost of keeping the two apart is
//! with the one who seldom comes.
//!
//! *Invariants*
//! - E1: a seat's `thread` is set once and never changes; `busy` is written by that thread only.
//! - E2: a core heap's `lessee` is nobody, a seat, or taken (by a context that moves the lease or works on the core heap). Changes from
//!   either of the first two to the third are by one atomic operation, so there is one winner; only the winner changes it back.
//! - E3: a seat's `heap` is null, or a core heap whose lessee is this seat, or is taken by somebody who is about to set `heap` to null
//!   or has just set it. Only who has taken a core heap writes its address there, and only over null: so a seat is the lessee of one core
//!   heap at most, and who finds that its thread has got another one meanwhile leaves this one to nobody.
//! - E4: of a thread that sets `busy` and reads `heap`, and a taker that sets `heap` to null and, after the barrier, reads `busy`, at
//!   least one sees what the other wrote.
//! - E5: in the child of a `fork` the marks of other threads are void: `busy` and "taken" say in which process they were made.
//!
//! *Contexts*: signal handlers may allocate and free: if one interrupts a pop or push, `busy` is set, and the page bitmaps serve.

use core::marker::PhantomData;
use core::ptr::null_mut;

use crate::base::block::{Block, Blocks};
use crate::base::size_class::SizeClass;
use crate::base::sync::{AtomicPtr, AtomicU32, AtomicUsize, CachePadded, Ordering, array_of, const_but_in_models, light_fence};
use crate::cores::core_heap::{CoreHeap, CoreSlot};
use crate::cores::core_local::CoreLocal;
use crate::pages::geometry::Geometry;

/// What a system says about threads.
///
/// # Safety
/// [`this`](Self::this) and [`barrier`](Self::barrier) keep their word.
pub unsafe trait Threads: Send + Sync + 'static {
    /// A number that only this thread has while it lives; not 0. Should be as quick as a register.
    fn this() -> usize;

    /// Has every running thread of the process pass a full memory barrier between this call's beginning and end; false if that
    /// cannot be had.
    fn barrier() -> bool;

    /// How many threads can run at a time. Asked once for each heap.
    fn cores() -> usize;

    /// Which process this is, along a line of forks: another number, not 0, in the child of a `fork`.
    fn generation() -> u32 {
        1
    }
}

/// Seats that a thread tries before it does without.
const PROBES: usize = 4;
/// How often a thread without a lease comes to the slow path before it takes another's: the barrier costs some microseconds.
const PATIENCE: u32 = 16;
/// More core heaps than cores: some are out of reach, with threads that stand still inside a pop or push. Fewer than threads: what
/// lies ready in one is of no use to another.
const HEAPS_PER_CORE: usize = 4;
/// How many others it asks then for theirs: who stands still inside a pop or push keeps its lease.
const VICTIMS: usize = 4;
/// For how many core heaps there is one barrier, where all are asked for.
const TAKEN_AT_ONCE: usize = 64;
/// How long a taker waits for a pop or push that is running to end.
const WAITS: usize = if cfg!(any(loom, miri)) { 2 } else { 1000 };

/// `lessee`: nobody. Seats count from 1.
const NOBODY: usize = 0;
/// `lessee`: taken; the bits above these say in which process.
const TAKEN: usize = 0xffff;

/// One thread's.
#[derive(Debug)]
#[repr(align(64))]
struct Seat {
    /// What the thread calls itself; 0: nobody has this seat yet.
    thread: AtomicUsize,
    /// The core heap that is leased to the thread, or null.
    heap: AtomicPtr<()>,
    /// The process in which the thread is inside a pop or push; 0: it is in none.
    busy: AtomicU32,
    /// How often the thread came to the slow path without a lease.
    missed: AtomicU32,
    /// Which core's heap that was, when its thread last asked: a hint.
    core: AtomicUsize,
}

#[derive(Debug)]
struct Place {
    slot: CoreSlot,
    lessee: AtomicUsize,
}

/// Many threads, a few core heaps for each core, each leased to one thread at a time. Nobody waits, but for a bounded time who takes a lease away.
///
/// `CORES` bounds the core heaps, `SEATS` bounds the threads that can ever have a lease (more go by the page bitmaps, as do those that happen to find no
/// seat). Both are below 65,535.
#[derive(Debug)]
pub struct Leased<T, const CORES: usize, const SEATS: usize> {
    seats: [Seat; SEATS],
    places: [Place; CORES],
    next_victim: CachePadded<AtomicUsize>,
    /// How many core heaps are used; 0: not yet asked.
    core_count: AtomicUsize,
    threads: PhantomData<T>,
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Leased<T, CORES, SEATS> {
    const_but_in_models! {
        /// All slots empty.
        pub fn new() -> Self {
            const { assert!(CORES > 0 && CORES < TAKEN && SEATS > 0 && SEATS < TAKEN, "1 to 65,534 core heaps, and so many seats") };
            Leased {
                seats: array_of!(Seat {
                    thread: AtomicUsize::new(0),
                    heap: AtomicPtr::new(null_mut()),
                    busy: AtomicU32::new(0),
                    missed: AtomicU32::new(0),
                    core: AtomicUsize::new(0),
                }),
                places: array_of!(Place { slot: CoreSlot::new(), lessee: AtomicUsize::new(NOBODY) }),
                next_victim: CachePadded(AtomicUsize::new(0)),
                core_count: AtomicUsize::new(0),
                threads: PhantomData,
            }
        }
    }

    /// The seat that a thread tries first.
    #[inline(always)]
    fn first_seat(thread: usize) -> usize {
        // The upper half of the product depends on every bit of the number.
        thread.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize) >> (usize::BITS / 2)
    }

    /// This thread's seat.
    #[inline(always)]
    fn seat(&self) -> Option<&Seat> {
        let thread = T::this();
        let seat = &self.seats[Self::first_seat(thread) % SEATS];
        if seat.thread.load(Ordering::Relaxed) == thread { Some(seat) } else { self.other_seat(thread) }
    }

    #[cold]
    fn other_seat(&self, thread: usize) -> Option<&Seat> {
        let other = |probe| &self.seats[(Self::first_seat(thread) + probe) % SEATS];
        (1..PROBES).map(other).find(|seat| seat.thread.load(Ordering::Relaxed) == thread)
    }

    /// This thread's seat, made its own if need be (E1).
    fn own_seat(&self) -> Option<&Seat> {
        let thread = T::this();
        self.seat().or_else(|| {
            let probed = (0..PROBES).map(|probe| &self.seats[(Self::first_seat(thread) + probe) % SEATS]);
            let mut free = probed.filter(|seat| seat.thread.load(Ordering::Relaxed) == 0);
            free.find(|seat| seat.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok())
        })
    }

    /// Runs `work` on the core heap that is leased to this thread and `input`, which comes back if there is none.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value.
    #[inline(always)]
    unsafe fn with_lease<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        let Some(seat) = self.seat() else { return Err(input) };
        if seat.busy.load(Ordering::Relaxed) != 0 {
            // A signal handler that interrupts this thread's own pop or push.
            return Err(input);
        }
        seat.busy.store(T::generation(), Ordering::Relaxed);
        // E4, together with the barrier of who takes the lease away.
        light_fence();
        // SAFETY: the caller names the geometry; E3. Acquire pairs with the Release of who leased it.
        let result = match unsafe { seat.heap.load(Ordering::Acquire).cast::<CoreHeap<G>>().as_ref() } {
            Some(heap) => Ok(work(heap, input)),
            None => Err(input),
        };
        // What was done to the core heap comes before this for who waits for it.
        seat.busy.store(0, Ordering::Release);
        result
    }

    /// Leases a core heap to the thread of this seat; returns its core, or one to make do with.
    #[cold]
    fn lease(&self, seat: &Seat) -> usize {
        let count = self.core_count();
        let is_free = |core: &usize| self.places[*core].lessee.load(Ordering::Relaxed) == NOBODY;
        let is_made = |core: &usize| !self.places[*core].slot.is_empty();
        if let Some(core) = (0..count).filter(is_made).filter(is_free).find(|core| self.hand_over(*core, seat)) {
            return core;
        }
        let unmade = (0..count).find(|core| !is_made(core));
        if let Some(core) = unmade.filter(|core| seat.core.swap(*core, Ordering::Relaxed) != *core) {
            // It is made by who asked, and leased when the thread comes again. If it is still not made then, there is no room for it.
            return core;
        }
        let missed = seat.missed.load(Ordering::Relaxed);
        let victims = if missed < PATIENCE { 0 } else { VICTIMS };
        seat.missed.store(if victims == 0 { missed + 1 } else { 0 }, Ordering::Relaxed);
        let made = (0..count).filter(is_made);
        let many = made.clone().count().max(1);
        let next = |_| made.clone().nth(self.next_victim.0.fetch_add(1, Ordering::Relaxed) % many);
        let taken = (0..victims).filter_map(next).find(|core| self.hand_over(*core, seat));
        taken.or(unmade).unwrap_or(Self::first_seat(seat.thread.load(Ordering::Relaxed)) % count)
    }

    fn hand_over(&self, core: usize, seat: &Seat) -> bool {
        let Some(mut taken) = self.take(core) else { return false };
        taken.lessee = self.number(seat);
        true
    }

    /// Which core's heap `heap` is.
    fn core_of(&self, seat: &Seat, heap: *mut ()) -> usize {
        let is_it = |core: &usize| core::ptr::eq(self.places[*core].slot.address(), heap);
        let hint = seat.core.load(Ordering::Relaxed);
        let core = Some(hint).filter(is_it).or_else(|| (0..CORES).find(is_it)).expect("a seat's heap has a place");
        seat.core.store(core, Ordering::Relaxed);
        core
    }

    /// Takes a core heap away from its lessee (E2); `None` if it is taken, or the lessee does not leave it in time.
    fn take(&self, core: usize) -> Option<Taken<'_, T, CORES, SEATS>> {
        let taken = self.begin_to_take(core)?;
        // If the lessee does not leave it, it gets it back.
        ((!taken.needs_barrier() || T::barrier()) && Self::is_left(&taken)).then_some(taken)
    }

    /// The first half of it: nobody begins a pop or push there any more that sees this.
    fn begin_to_take(&self, core: usize) -> Option<Taken<'_, T, CORES, SEATS>> {
        let place = &self.places[core];
        let mine = (T::generation() as usize) << TAKEN.count_ones() | TAKEN;
        let lessee = place.lessee.load(Ordering::Relaxed);
        // Acquire pairs with the Release of `Taken`.
        if lessee == mine || place.lessee.compare_exchange(lessee, mine, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return None;
        }
        let heap = place.slot.address();
        let lessee = if lessee & TAKEN != TAKEN {
            lessee
        } else {
            // E5: who had taken it was left behind by a `fork`, perhaps before the lessee's seat said so.
            let lessee = self.seats.iter().find(|seat| core::ptr::eq(seat.heap.load(Ordering::Relaxed), heap));
            lessee.map_or(NOBODY, |seat| self.number(seat))
        };
        let taken = Taken { leased: self, place, heap, lessee };
        if let Some(seat) = taken.seat() {
            seat.heap.store(null_mut(), Ordering::Relaxed);
        }
        Some(taken)
    }

    /// Whether the lessee of a core heap that was taken is not inside a pop or push any more (E4). Call it after a barrier if
    /// [`needs_barrier`](Taken::needs_barrier).
    fn is_left(taken: &Taken<'_, T, CORES, SEATS>) -> bool {
        let Some(seat) = taken.seat() else { return true };
        for _ in 0..WAITS {
            // 0 is of no process.
            if seat.busy.load(Ordering::Acquire) != T::generation() {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    fn number(&self, seat: &Seat) -> usize {
        (core::ptr::from_ref(seat).addr() - self.seats.as_ptr().addr()) / size_of::<Seat>() + 1
    }
}

/// A core heap that this context has taken; given to the lessee when dropped, or to nobody if that has another one by then.
struct Taken<'a, T: Threads, const CORES: usize, const SEATS: usize> {
    leased: &'a Leased<T, CORES, SEATS>,
    place: &'a Place,
    heap: *mut (),
    lessee: usize,
}

impl<'a, T: Threads, const CORES: usize, const SEATS: usize> Taken<'a, T, CORES, SEATS> {
    fn seat(&self) -> Option<&'a Seat> {
        self.leased.seats.get(self.lessee.checked_sub(1)?)
    }

    /// Whether another thread may be about to begin a pop or push there.
    fn needs_barrier(&self) -> bool {
        self.seat().is_some_and(|seat| seat.thread.load(Ordering::Relaxed) != T::this())
    }
}

impl<T: Threads, const CORES: usize, const SEATS: usize> Drop for Taken<'_, T, CORES, SEATS> {
    fn drop(&mut self) {
        // E3. Release pairs with the Acquire in `with_lease`.
        let give_to =
            |seat: &Seat| seat.heap.compare_exchange(null_mut(), self.heap, Ordering::Release, Ordering::Relaxed).is_ok();
        let lessee = if self.seat().is_some_and(give_to) { self.lessee } else { NOBODY };
        self.place.lessee.store(lessee, Ordering::Release);
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
        &self.places[core].slot
    }

    /// The core whose heap is leased to this thread; leases one if need be.
    fn core(&self) -> usize {
        let Some(seat) = self.own_seat() else { return Self::first_seat(T::this()) % self.core_count() };
        let busy = seat.busy.load(Ordering::Relaxed);
        if busy != 0 && busy != T::generation() {
            // E5: of a thread of a parent process that had the same number.
            seat.busy.store(0, Ordering::Relaxed);
        }
        match seat.heap.load(Ordering::Relaxed) {
            heap if heap.is_null() => self.lease(seat),
            heap => self.core_of(seat, heap),
        }
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        // SAFETY: the caller names the geometry; `with_lease` makes this context alone.
        unsafe { self.with_lease::<G, _, _>((), |heap, ()| heap.magazine(class).pop()) }.ok().flatten()
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: as in `pop`.
        unsafe { self.with_lease::<G, _, _>(block, |heap, block| heap.magazine(class).push(block)) }.flatten()
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: as in `pop`. Without a lease the blocks stay as they are.
        let _ = unsafe { self.with_lease::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).pop_many(blocks, most)) };
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: as in `pop_many`.
        let _ = unsafe { self.with_lease::<G, _, _>(blocks, |heap, blocks| heap.magazine(class).push_many(blocks)) };
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller names the geometry.
        let heap = unsafe { self.places[core].slot.heap::<G>() }?;
        let _taken = self.take(core)?;
        Some(work(heap))
    }

    /// One barrier for up to 64 core heaps.
    unsafe fn alone_on_each<G: Geometry>(&self, mut work: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        let (mut busy, count) = (None, self.core_count());
        for first in (0..count).step_by(TAKEN_AT_ONCE) {
            let cores = (first..count.min(first + TAKEN_AT_ONCE)).filter(|core| !self.places[*core].slot.is_empty());
            let mut taken = [const { None }; TAKEN_AT_ONCE];
            for core in cores.clone() {
                taken[core - first] = self.begin_to_take(core);
            }
            let passed = !taken.iter().flatten().any(Taken::needs_barrier) || T::barrier();
            for core in cores {
                // Given back one by one: each is missed for as short as can be.
                let taken = taken[core - first].take().filter(|taken| passed && Self::is_left(taken));
                // SAFETY: the caller names the geometry.
                match (taken, unsafe { self.places[core].slot.heap::<G>() }) {
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
