//! [`HostCores`]: the best way of being alone on a core's magazines that this system offers.
//!
//! *Role*: the `CoreLocal` of [`Coreheap`](crate::Coreheap). Decides once, at the heap's first slow path, between
//! [`rseq`](crate::rseq), [`leases`](crate::leases) and [`marks`](crate::marks); until then pops and pushes fail, which is what leads
//! to the slow path.
//!
//! *Invariant* D1: the kind is decided once and never changes; the slots of the other kinds stay empty.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use coreheap::port::{Block, Blocks, CoreHeap, CoreSlot, SizeClass};
use coreheap::{CoreLocal, Geometry};

use crate::leases::LeasedCores;
use crate::marks::MarkedCores;
use crate::rseq::{RseqCores, probe};
use crate::system;

/// How contexts are kept off each other's magazines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CoresKind {
    /// By Linux' restartable sequences: a core heap is whose core it is.
    Rseq = 1,
    /// By leasing core heaps to threads, which needs a memory barrier on all cores at once (Linux 4.14, Android 10, Windows).
    Leases,
    /// By a mark on each core heap: an atomic operation for each pop and push, on any system.
    Marks,
}

impl CoresKind {
    const RSEQ: u8 = CoresKind::Rseq as u8;
    const LEASES: u8 = CoresKind::Leases as u8;

    /// The kind of this number; `None` where none was decided for yet.
    #[inline(always)]
    fn of(number: u8) -> Option<Self> {
        match number {
            UNDECIDED => None,
            Self::RSEQ => Some(CoresKind::Rseq),
            Self::LEASES => Some(CoresKind::Leases),
            _ => Some(CoresKind::Marks),
        }
    }
}

/// No kind yet.
const UNDECIDED: u8 = 0;

/// Core heaps on a hosted system.
///
/// Restartable sequences are used on x86-64 and AArch64 Linux, with glibc 2.35 or later which registers threads for them
/// (`__rseq_size` is not 0) or linked statically with musl (threads are registered here), a kernel that has `membarrier` for them (5.10 or later) and at most 512 possible cores; not under
/// Valgrind and Miri. On other Linux systems, and on Windows, core heaps are leased to threads; where the kernel forbids that, under Wine,
/// whose barrier does nothing, or when the environment variable `COREHEAP_CORES` is `marks`, a mark on each core heap is used.
/// `COREHEAP_CORES=portable` is the best without sequences.
///
/// Any context may use it, signal handlers included, but see the limits in the crate's documentation.
#[derive(Debug)]
pub struct HostCores {
    kind: AtomicU8,
    rseq: RseqCores,
    leased: LeasedCores,
    marked: MarkedCores,
}

impl HostCores {
    /// Undecided, all slots empty.
    pub const fn new() -> Self {
        HostCores {
            kind: AtomicU8::new(UNDECIDED),
            rseq: RseqCores::new(),
            leased: LeasedCores::new(),
            marked: MarkedCores::new(),
        }
    }

    /// How contexts are kept apart; decides if that is still open.
    #[inline]
    pub fn kind(&self) -> CoresKind {
        CoresKind::of(self.kind.load(Ordering::Acquire)).unwrap_or_else(|| self.decide())
    }

    /// Decides for the best kind without restartable sequences; false if it was decided otherwise before.
    pub fn use_portable(&self) -> bool {
        self.settle(best_portable()) != CoresKind::Rseq
    }

    /// What the kernel writes in the place of a core's number for a thread that has no area. Pops and pushes fail by it.
    #[doc(hidden)]
    pub const NO_CORE: i32 = -1;

    /// Where the kernel keeps the number that a pop or push of this thread goes by, if they are restartable sequences. For who puts itself in
    /// front of `vfork`. Nothing but such a number, and [`NO_CORE`](Self::NO_CORE), may be written there.
    #[doc(hidden)]
    pub fn number_of_this_thread(&self) -> Option<NonNull<AtomicI32>> {
        match self.kind() {
            CoresKind::Rseq => self.rseq.number_of_this_thread(),
            CoresKind::Leases | CoresKind::Marks => None,
        }
    }

    #[inline(always)]
    fn is_leased(&self) -> bool {
        self.kind.load(Ordering::Acquire) == CoresKind::LEASES
    }

    #[cold]
    fn decide(&self) -> CoresKind {
        let (best, area) = match wish() {
            Some(Wish::Marks) => (CoresKind::Marks, None),
            Some(Wish::Portable) => (best_portable(), None),
            None => probe().map_or_else(|| (best_portable(), None), |area| (CoresKind::Rseq, Some(area))),
        };
        // If another context is as far as this one: both see the same system, and the first one's word counts.
        let kind = self.settle(best);
        if let (CoresKind::Rseq, Some(area)) = (kind, area) {
            self.rseq.open(area);
        }
        kind
    }

    fn settle(&self, kind: CoresKind) -> CoresKind {
        system::watch_forks();
        let settled = self.kind.compare_exchange(UNDECIDED, kind as u8, Ordering::AcqRel, Ordering::Acquire);
        settled.err().and_then(CoresKind::of).unwrap_or(kind)
    }
}

fn best_portable() -> CoresKind {
    if system::has_barrier() { CoresKind::Leases } else { CoresKind::Marks }
}

impl Default for HostCores {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls a function of `CoreLocal` on the kind that was decided for.
macro_rules! dispatch {
    ($this:ident, $cores:ident => $call:expr) => {
        match $this.kind() {
            CoresKind::Rseq => {
                let $cores = &$this.rseq;
                $call
            }
            CoresKind::Leases => {
                let $cores = &$this.leased;
                $call
            }
            CoresKind::Marks => {
                let $cores = &$this.marked;
                $call
            }
        }
    };
}

// SAFETY: L1: by D1 only one of the three has core heaps, and it keeps to L1.
unsafe impl CoreLocal for HostCores {
    const QUICK_FIRST: bool = true;

    fn core_count(&self) -> usize {
        dispatch!(self, cores => cores.core_count())
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        dispatch!(self, cores => cores.slot(core))
    }

    unsafe fn install<G: Geometry>(&self, core: usize, heap: *mut CoreHeap<G>) -> bool {
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.install::<G>(core, heap) })
    }

    fn core(&self) -> usize {
        dispatch!(self, cores => cores.core())
    }

    // By sequences, or else by leases where there are never any. The rest is tried out of line, so that it costs these nothing: before the kind
    // was decided, and when it was decided otherwise, there is no core heap here.

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.pop::<G>(area, class) },
            // SAFETY: the caller's promise.
            None if !RseqCores::POSSIBLE && self.is_leased() => unsafe { self.leased.pop::<G>(class) },
            None => None,
        }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        // SAFETY: the caller's promise.
        unsafe { self.push_if::<G>(Some(class), block) }
    }

    #[inline(always)]
    unsafe fn push_if<G: Geometry>(&self, class: Option<SizeClass>, block: Block) -> Result<(), Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.push::<G>(area, class, block) },
            // SAFETY: the caller's promise.
            None if !RseqCores::POSSIBLE && self.is_leased() => unsafe { self.leased.push_if::<G>(class, block) },
            None => Err(block),
        }
    }

    #[inline]
    unsafe fn alone<G: Geometry, I, R>(&self, input: I, work: impl FnOnce(&CoreHeap<G>, I) -> R) -> Result<R, I> {
        match self.kind() {
            // What sequences can do was tried.
            CoresKind::Rseq => Err(input),
            // SAFETY: the caller's promise.
            CoresKind::Leases => unsafe { self.leased.alone::<G, I, R>(input, work) },
            // SAFETY: the caller's promise.
            CoresKind::Marks => unsafe { self.marked.alone::<G, I, R>(input, work) },
        }
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.pop_many::<G>(class, blocks, most) })
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.push_many::<G>(class, blocks) })
    }

    /// Gives the processor up, so that a thread that lost its own goes on.
    fn wait_for(&self, _: usize, tries: usize) -> bool {
        system::yield_processor();
        tries < WAIT_TRIES
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.alone_on(core, work) })
    }

    unsafe fn alone_on_each<G: Geometry>(&self, mut work: impl FnMut(&CoreHeap<G>)) -> Option<usize> {
        // It is long, and is not to be there three times.
        let work: &mut dyn FnMut(&CoreHeap<G>) = &mut work;
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.alone_on_each(&mut *work) })
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use core::alloc::Layout;
    use std::sync::Barrier;
    use std::thread;

    use crate::Coreheap;
    use crate::system::membarrier::PASSES;

    /// How many barriers a purge takes, where many threads have used the heap and live.
    fn barriers_of_a_purge(heap: &'static Coreheap) -> usize {
        static USED: Barrier = Barrier::new(9);
        static PURGED: Barrier = Barrier::new(9);
        let layout = Layout::new::<[u64; 4]>();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let block = heap.allocate(layout).expect("memory");
                        // SAFETY: a block of this heap.
                        unsafe { heap.deallocate(block, layout) };
                        thread::yield_now();
                    }
                    USED.wait();
                    PURGED.wait();
                });
            }
            USED.wait();
            let before = PASSES.get();
            heap.purge();
            let passes = PASSES.get() - before;
            PURGED.wait();
            heap.assert_valid();
            passes
        })
    }

    #[test]
    fn a_purge_takes_one_barrier() {
        static OFFERED: Coreheap = Coreheap::new();
        static PORTABLE: Coreheap = Coreheap::new();
        PORTABLE.use_portable_cores();
        for heap in [&OFFERED, &PORTABLE] {
            let most = if heap.cores_kind() == CoresKind::Marks { 0 } else { 1 };
            assert_eq!(barriers_of_a_purge(heap), most, "{:?}", heap.cores_kind());
            // Everything is in its place again.
            assert_eq!(barriers_of_a_purge(heap), most, "{:?}", heap.cores_kind());
        }
    }
}

/// How often a context gives the processor up for another one: some milliseconds on an idle machine, longer where others have work.
const WAIT_TRIES: usize = 20_000;

/// What the environment asks for.
enum Wish {
    Portable,
    Marks,
}

/// What the variable `COREHEAP_CORES` says.
fn wish() -> Option<Wish> {
    let is = system::cores_variable_is;
    if cfg!(miri) || is("portable") {
        Some(Wish::Portable)
    } else if is("marks") {
        Some(Wish::Marks)
    } else {
        None
    }
}
