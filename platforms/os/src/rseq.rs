//! [`RseqCores`]: a pop or push is a restartable sequence of a few instructions without any atomic operation.
//!
//! *Role*: what [`HostCores`](crate::HostCores) uses on x86-64 and AArch64 Linux, with glibc 2.35 or later or linked statically with musl, if [`probe()`]
//! finds what it takes. The instructions are in `rseq/x86_64.rs` and `rseq/aarch64.rs`.
//!
//! # The protocol
//!
//! Each thread shares a small area with the kernel, registered by glibc, or here where the C library is musl. Before a sequence the thread stores the address of a
//! descriptor there (`rseq_cs`): where the sequence starts, how long it is, and where to go on if it is cut off. Whenever the kernel
//! preempts the thread, moves it to another core, or delivers a signal to it, it looks whether the thread is inside, and if so
//! makes it go on at the abort address. The kernel also keeps the number of the core in the area up to date.
//!
//! *Invariants*
//! - Q1: a sequence ends with one store, to the magazine's `newest`, which commits it. A sequence that is cut off before that has changed
//!   nothing that matters: a push has at most written the slot behind `newest`. It restarts from the very beginning.
//! - Q2: the core's number is read inside the sequence. Two threads never run with one number at the same time, so two sequences on
//!   one core heap overlap only if one of them is preempted, which restarts it. The number is `mm_cid` where the kernel has
//!   it (compact: below the number of threads as well as of cores), else `cpu_id`; all threads use the same kind. It is from 0 on and below
//!   [`Area::core_count`], or -1 or -2 for a thread that the kernel does not serve.
//! - Q3: a number's pointer in `leads` leads to the core heap, or to [`NOBODY`] while there is none, while somebody has it out, and for -1 and -2. It is read
//!   inside the sequence too. So after it was set to `NOBODY` *and* a `membarrier` has restarted all sequences that are running on any core, nobody is inside one that
//!   saw the core heap: those that ran were restarted and see `NOBODY`; those that were preempted will be restarted when they run again. Then
//!   [`alone_on`](RseqCores::alone_on) has the core heap to itself. Its [`Holder`] keeps two of its kind apart.
//! - Q4: a signal handler may allocate and free: if it interrupts a sequence, that was cut off before the handler starts, and
//!   restarts after it. If it interrupts `alone_on`, its number leads to `NOBODY` and the page bitmaps serve.
//! - Q5: the child of a `fork` has the area registered as its parent had, and no sequence under way: those of other threads are gone
//!   without a trace. A core heap that was out for `alone_on`, or was just made, is there in the child once it has called [`core`](RseqCores::core).
//! - Q6: no field of a registered area is ever written but `rseq_cs`, the one that the kernel gives to programs; and, where this is C's `malloc`, the number
//!   while a child of `vfork` borrows the thread. It has no area of its own, and finds -1, so its calls fail.
//! - Q7: after a sequence `rseq_cs` is cleared, so a library with a copy of this code may be unloaded when no thread is inside.
//! - Q8: plain loads and stores do, also where the processor reorders them. Between two threads that have one number after each other, and
//!   on every core that `membarrier` reaches, the kernel has a full barrier; and what a sequence reads of a core heap depends on the
//!   pointer in `leads` that it read, so it sees what was written before that was stored.
//!
//! *Limits*: a thread without a registered area of its own must not use the heap: one made by the raw `clone` system call, and the
//! child of a `vfork` before `exec`, which shares its parent's, unless C's `malloc` is this heap. The cores that there can be when a heap is first used are all that
//! there will be. Single-stepping a debugger through a sequence restarts it for ever.

use core::num::NonZeroIsize;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicIsize, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use coreheap::Geometry;
use coreheap::port::{CoreHeap, CoreSlot};

use crate::holder::{Held, Holder};
use crate::system::generation;
use crate::system::membarrier::RESTART;
use crate::system::this_thread;

mod probe;
#[cfg(target_env = "musl")]
mod registration;
mod sequences;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[path = "rseq/x86_64.rs"]
        mod instructions;
    } else {
        #[path = "rseq/aarch64.rs"]
        mod instructions;
    }
}

use probe::read;
pub use probe::{Area, probe};

/// How many slots there are: the most cores that the system may have.
pub const CORES: usize = 512;

/// Numbers begin with this one below 0.
const BELOW_ZERO: usize = 2;

/// What is found where there is no core heap: for each number of a class a `newest`, and then for each a limit. All point at [`NOTHING`], so there is neither a
/// block nor room.
static NOBODY: [AtomicPtr<usize>; 2 * 256 + 1] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 2 * 256 + 1];
static NOTHING: usize = 0;

/// For how many core heaps there is one barrier, where all are asked for.
const OUT_AT_ONCE: usize = 64;

/// A slot for each core.
///
/// The fast path reads `area`, `number` and `leads`, which hardly ever change, so that they are in every core's cache.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct RseqCores {
    /// Where each thread's area lies, from the thread pointer; 0 until [`open`](Self::open). (At 0 lies the thread's own record.)
    area: AtomicIsize,
    /// Where the core's number lies, from the thread pointer.
    number: AtomicIsize,
    /// How many of the slots are of cores that there cannot be.
    unused_slots: AtomicUsize,
    /// The generation in which the slots were last looked through for what a `fork` left, less the first one: 1.
    looked_through: AtomicU32,
    /// What a number leads to (Q3), from -2 on. Null until [`open`](Self::open).
    leads: [AtomicPtr<()>; BELOW_ZERO + CORES],
    slots: [CoreSlot; CORES],
    holders: [Holder; CORES],
}

impl RseqCores {
    /// Whether there may be sequences.
    pub const POSSIBLE: bool = true;

    /// All zero: all slots empty, and nothing is popped or pushed until [`open`](Self::open).
    pub const fn new() -> Self {
        let (area, number, unused_slots) = (AtomicIsize::new(0), AtomicIsize::new(0), AtomicUsize::new(0));
        let (slots, holders) = ([const { CoreSlot::new() }; CORES], [const { Holder::new() }; CORES]);
        let leads = [const { AtomicPtr::new(core::ptr::null_mut()) }; BELOW_ZERO + CORES];
        RseqCores { area, number, unused_slots, looked_through: AtomicU32::new(0), leads, slots, holders }
    }

    /// Starts to serve pops and pushes. Always called with the same `area`.
    pub fn open(&self, area: Area) {
        self.unused_slots.store(CORES.saturating_sub(area.core_count), Ordering::Relaxed);
        self.number.store(area.number, Ordering::Relaxed);
        // All write the same: other heaps, and other contexts that are as far as this one.
        NOBODY.iter().for_each(|pointer| pointer.store(core::ptr::from_ref(&NOTHING).cast_mut(), Ordering::Relaxed));
        for lead in &self.leads {
            // Unless another context has made a core heap already.
            let _ = lead.compare_exchange(core::ptr::null_mut(), nobody(), Ordering::Relaxed, Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `area`.
        self.area.store(area.start, Ordering::Release);
    }

    /// Where each thread's area lies, from the thread pointer, once pops and pushes are served.
    #[inline(always)]
    pub fn area(&self) -> Option<NonZeroIsize> {
        // Acquire pairs with the Release in `open`.
        NonZeroIsize::new(self.area.load(Ordering::Acquire))
    }

    /// Where this thread's area says which core it runs on, once pops and pushes are served.
    pub fn number_of_this_thread(&self) -> Option<NonNull<AtomicI32>> {
        self.area()?;
        let address = this_thread().wrapping_add_signed(self.number.load(Ordering::Relaxed));
        NonNull::new(core::ptr::with_exposed_provenance_mut(address))
    }

    /// Puts back what was out for `alone_on` in a parent process at the moment of the `fork` (Q5).
    #[cold]
    fn look_through(&self, generation: u32) {
        for (core, holder) in self.holders.iter().enumerate() {
            if let Some(held) = holder.take() {
                self.reopen(core, held.was_left);
            }
        }
        self.looked_through.store(generation.wrapping_sub(1), Ordering::Relaxed);
    }
}

/// Where a number leads that has no core heap.
fn nobody() -> *mut () {
    core::ptr::from_ref(&NOBODY[0]).cast_mut().cast()
}

/// Where it leads while somebody has the core heap out. The same to a sequence, but not to who makes a core heap.
fn nobody_now() -> *mut () {
    core::ptr::from_ref(&NOBODY[1]).cast_mut().cast()
}

/// A core heap that is out. Puts it back when dropped, also if the work panics, and gives the mark up after that.
struct Out<'a, G: Geometry> {
    lead: &'a AtomicPtr<()>,
    heap: &'a CoreHeap<G>,
    _held: Held<'a>,
}

impl<G: Geometry> Drop for Out<'_, G> {
    fn drop(&mut self) {
        self.lead.store(core::ptr::from_ref(self.heap).cast_mut().cast(), Ordering::Release);
    }
}

// What `CoreLocal` asks for, but for pops and pushes. Its L1 is Q1 to Q5.
impl RseqCores {
    /// How many cores there can be.
    pub fn core_count(&self) -> usize {
        CORES - self.unused_slots.load(Ordering::Relaxed)
    }

    /// The slot of a core.
    pub fn slot(&self, core: usize) -> &CoreSlot {
        &self.slots[core]
    }

    /// Makes a core's heap, and leads its sequences there.
    ///
    /// # Safety
    /// As for [`CoreLocal::install`](coreheap::CoreLocal::install).
    pub unsafe fn install<G: Geometry>(&self, core: usize, heap: *mut CoreHeap<G>) -> bool {
        // SAFETY: the caller's promise.
        let is_made = unsafe { self.slots[core].install::<G>(heap) };
        if is_made {
            self.lead_there(core, heap.cast());
        }
        is_made
    }

    /// Where a core's number leads.
    fn lead_of(&self, core: usize) -> &AtomicPtr<()> {
        &self.leads[BELOW_ZERO + core]
    }

    /// Leads a core's sequences to its core heap for the first time. Others may have done it by now, and have it out.
    fn lead_there(&self, core: usize, heap: *mut ()) {
        let _ = self.lead_of(core).compare_exchange(nobody(), heap, Ordering::Release, Ordering::Relaxed);
    }

    /// Leads a core's sequences to its core heap, if there is one; the caller has the mark. Who was about to lead them there for the first time may be gone. If the
    /// mark `was_left`, so is who had it out, with what was in hand there.
    fn reopen(&self, core: usize, was_left: bool) {
        let (slot, heap) = (&self.slots[core], self.slots[core].address());
        if heap.is_null() {
            return;
        }
        if was_left {
            slot.forget_in_hand();
            self.lead_of(core).store(heap, Ordering::Release);
        } else {
            self.lead_there(core, heap);
        }
    }

    /// The core this runs on: a hint.
    pub fn core(&self) -> usize {
        let generation = generation();
        if self.looked_through.load(Ordering::Relaxed) != generation.wrapping_sub(1) {
            self.look_through(generation);
        }
        if self.area().is_none() {
            return 0;
        }
        // SAFETY: a field of this thread's area.
        let number = || unsafe { read(self.number.load(Ordering::Relaxed)) } as usize;
        let is_core = |number: &usize| *number < self.core_count();
        #[cfg(target_env = "musl")]
        if !is_core(&number()) {
            registration::register_this_thread();
        }
        Some(number()).filter(is_core).unwrap_or(0)
    }

    /// Runs `work` while nobody else pops or pushes on this core's magazines; a system call.
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value.
    pub unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller names the geometry.
        let out = unsafe { self.take_out::<G>(core) }?;
        RESTART.pass().then(|| work(out.heap))
    }

    /// [`alone_on`](Self::alone_on) each core that has a core heap: one system call for up to [`OUT_AT_ONCE`]. Says which one could not be had, but may be soon.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn alone_on_each<G: Geometry>(&self, mut work: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        let (mut busy, count) = (None, self.core_count());
        for first in (0..count).step_by(OUT_AT_ONCE) {
            let cores = first..count.min(first + OUT_AT_ONCE);
            let mut out = [const { None }; OUT_AT_ONCE];
            for core in cores.clone() {
                // SAFETY: the caller names the geometry.
                out[core - first] = unsafe { self.take_out::<G>(core) };
            }
            if out.iter().any(Option::is_some) && !RESTART.pass() {
                // No use waiting for that: all are put back.
                continue;
            }
            for core in cores {
                // Put back one by one: each is missed for as short as can be.
                match out[core - first].take() {
                    Some(out) => work(out.heap),
                    // SAFETY: the caller names the geometry.
                    None if unsafe { self.slots[core].heap::<G>() }.is_some() => busy = Some(core),
                    None => {}
                }
            }
        }
        busy
    }

    /// Takes a core heap out, if there is one. Who does passes a barrier before it uses it (Q3).
    ///
    /// # Safety
    /// `G` is the geometry of the heap that owns this value.
    unsafe fn take_out<G: Geometry>(&self, core: usize) -> Option<Out<'_, G>> {
        // SAFETY: the caller names the geometry.
        let heap = unsafe { self.slots[core].heap::<G>() }?;
        let held = self.holders[core].take()?;
        if held.was_left {
            self.reopen(core, true);
        }
        let lead = self.lead_of(core);
        let address = core::ptr::from_ref(heap).cast_mut().cast();
        // Not yet, while it is being made.
        lead.compare_exchange(address, nobody_now(), Ordering::Acquire, Ordering::Relaxed).ok()?;
        // Puts it back, before `held` ends.
        Some(Out { lead, heap, _held: held })
    }
}
