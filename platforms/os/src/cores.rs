//! [`HostCores`]: the best way of being alone on a core's magazines that this system offers.
//!
//! *Role*: the `CoreLocal` of [`Coreheap`](crate::Coreheap). Decides once, at the heap's first slow path, between
//! [`rseq`](crate::rseq), [`leases`](crate::leases) and [`marks`](crate::marks); until then pops and pushes fail, which is what leads
//! to the slow path.
//!
//! *Invariant* D1: the kind is decided once and never changes; the slots of the other kinds stay empty.

use core::sync::atomic::{AtomicU8, Ordering};

use coreheap::{Block, Blocks, CoreHeap, CoreLocal, CoreSlot, Geometry, SizeClass};

use crate::leases::LeasedCores;
use crate::marks::MarkedCores;
use crate::rseq::{RseqCores, probe};
use crate::system;

/// How contexts are kept off each other's magazines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoresKind {
    /// By Linux' restartable sequences: a core heap is whose core it is.
    Rseq,
    /// By leasing core heaps to threads, which needs a memory barrier on all cores at once (Linux 4.14, Android 10, Windows).
    Leases,
    /// By a mark on each core heap: an atomic operation for each pop and push, on any system.
    Marks,
}

impl CoresKind {
    const ALL: [CoresKind; 3] = [CoresKind::Rseq, CoresKind::Leases, CoresKind::Marks];
}

/// No kind yet; else 1 more than the kind's place in [`CoresKind::ALL`].
const UNDECIDED: u8 = 0;

/// Core heaps on a hosted system.
///
/// Restartable sequences are used on x86-64 and AArch64 Linux, with glibc 2.35 or later which registers threads for them
/// (`__rseq_size` is not 0), a kernel that has `membarrier` for them (5.10 or later) and at most 512 possible cores; not under
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
        let (rseq, leased, marked) = (RseqCores::new(), LeasedCores::new(), MarkedCores::new());
        HostCores { kind: AtomicU8::new(UNDECIDED), rseq, leased, marked }
    }

    /// How contexts are kept apart; decides if that is still open.
    #[inline]
    pub fn kind(&self) -> CoresKind {
        match self.kind.load(Ordering::Acquire) {
            UNDECIDED => self.decide(),
            kind => CoresKind::ALL[usize::from(kind) - 1],
        }
    }

    /// Decides for the best kind without restartable sequences; false if it was decided otherwise before.
    pub fn use_portable(&self) -> bool {
        self.settle(best_portable()) != CoresKind::Rseq
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
        let settled = self.kind.compare_exchange(UNDECIDED, kind as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
        settled.map_or_else(|earlier| CoresKind::ALL[usize::from(earlier) - 1], |_| kind)
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
    fn core_count(&self) -> usize {
        dispatch!(self, cores => cores.core_count())
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        dispatch!(self, cores => cores.slot(core))
    }

    fn core(&self) -> usize {
        dispatch!(self, cores => cores.core())
    }

    // The first way is the one that systems of this kind usually have, without a look at what was decided: before that, and when
    // it was decided otherwise, there is no core heap, and it fails.

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.pop::<G>(area, class) },
            None if RseqCores::POSSIBLE => None,
            // SAFETY: the caller's promise.
            None => unsafe { self.leased.pop::<G>(class) },
        }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.push::<G>(area, class, block) },
            None if RseqCores::POSSIBLE => Err(block),
            // SAFETY: the caller's promise.
            None => unsafe { self.leased.push::<G>(class, block) },
        }
    }

    #[inline]
    unsafe fn pop_otherwise<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        match self.kind() {
            CoresKind::Rseq => None,
            // SAFETY: the caller's promise.
            CoresKind::Leases => unsafe { self.leased.pop::<G>(class) },
            // SAFETY: the caller's promise.
            CoresKind::Marks => unsafe { self.marked.pop::<G>(class) },
        }
    }

    #[inline]
    unsafe fn push_otherwise<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        match self.kind() {
            CoresKind::Rseq => Err(block),
            // SAFETY: the caller's promise.
            CoresKind::Leases => unsafe { self.leased.push::<G>(class, block) },
            // SAFETY: the caller's promise.
            CoresKind::Marks => unsafe { self.marked.push::<G>(class, block) },
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

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        // SAFETY: the caller's promise.
        dispatch!(self, cores => unsafe { cores.alone_on(core, work) })
    }
}

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
