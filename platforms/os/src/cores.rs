//! [`HostCores`]: the best way of being alone on a core's magazines that this system offers.
//!
//! *Role*: the `CoreLocal` of [`Coreheap`](crate::Coreheap). Decides once, at the heap's first slow path, between
//! [`rseq`](crate::rseq) and [`portable`](crate::portable); until then pops and pushes fail, which is what leads to the slow path.
//!
//! *Invariant* D1: the kind is decided once and never changes; the slots of the other kind stay empty.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU8, Ordering};

use coreheap::{Block, Blocks, CoreHeap, CoreLocal, CoreSlot, Geometry, SizeClass};

use crate::fork;
use crate::portable::PortableCores;
use crate::rseq::{RseqCores, probe};

/// How contexts are kept off each other's magazines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoresKind {
    /// By Linux' restartable sequences: no atomic operation.
    Rseq,
    /// By a mark on each core heap: one atomic operation, on any system.
    Portable,
}

const UNDECIDED: u8 = 0;
const RSEQ: u8 = 1;
const PORTABLE: u8 = 2;

/// Core heaps on a hosted system.
///
/// Restartable sequences are used on x86-64 Linux, with glibc 2.35 or later which registers threads for them
/// (`__rseq_size` is not 0), a kernel that has `membarrier` for them (5.10 or later) and at most 512 possible cores; not under
/// Valgrind and Miri. Everywhere else, or when the environment variable `COREHEAP_CORES` is `portable`, a mark on each core
/// heap is used.
///
/// Any context may use it, signal handlers included, but see the limits in the crate's documentation.
#[derive(Debug)]
pub struct HostCores {
    kind: AtomicU8,
    rseq: RseqCores,
    portable: PortableCores,
}

impl HostCores {
    /// Undecided, all slots empty.
    pub const fn new() -> Self {
        HostCores { kind: AtomicU8::new(UNDECIDED), rseq: RseqCores::new(), portable: PortableCores::new() }
    }

    /// How contexts are kept apart; decides if that is still open.
    pub fn kind(&self) -> CoresKind {
        match self.kind.load(Ordering::Acquire) {
            RSEQ => CoresKind::Rseq,
            PORTABLE => CoresKind::Portable,
            _ => self.decide(),
        }
    }

    /// Decides for [`CoresKind::Portable`]; false if it was decided otherwise before.
    pub fn use_portable(&self) -> bool {
        self.settle(PORTABLE) == PORTABLE
    }

    #[cold]
    fn decide(&self) -> CoresKind {
        let area = if environment_says_portable() { None } else { probe() };
        // If another context is as far as this one: both see the same system, and the first one's word counts.
        match (self.settle(if area.is_some() { RSEQ } else { PORTABLE }), area) {
            (RSEQ, Some(area)) => {
                self.rseq.open(area);
                CoresKind::Rseq
            }
            (RSEQ, None) => CoresKind::Rseq,
            _ => CoresKind::Portable,
        }
    }

    fn settle(&self, kind: u8) -> u8 {
        fork::watch();
        self.kind.compare_exchange(UNDECIDED, kind, Ordering::AcqRel, Ordering::Acquire).err().unwrap_or(kind)
    }
}

impl Default for HostCores {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: L1: by D1 only one of the two has core heaps, and it keeps to L1.
unsafe impl CoreLocal for HostCores {
    fn core_count(&self) -> usize {
        match self.kind() {
            CoresKind::Rseq => self.rseq.core_count(),
            CoresKind::Portable => self.portable.core_count(),
        }
    }

    fn slot(&self, core: usize) -> &CoreSlot {
        match self.kind() {
            CoresKind::Rseq => self.rseq.slot(core),
            CoresKind::Portable => self.portable.slot(core),
        }
    }

    fn core(&self) -> usize {
        match self.kind() {
            CoresKind::Rseq => self.rseq.core(),
            CoresKind::Portable => self.portable.core(),
        }
    }

    #[inline(always)]
    unsafe fn pop<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.pop::<G>(area, class) },
            None => None,
        }
    }

    #[inline(always)]
    unsafe fn push<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.push::<G>(area, class, block) },
            None => Err(block),
        }
    }

    // Before the decision there are no core heaps, and these two fail as well.

    #[inline]
    unsafe fn pop_otherwise<G: Geometry>(&self, class: SizeClass) -> Option<Block> {
        match self.rseq.area() {
            Some(_) => None,
            // SAFETY: the caller's promise.
            None => unsafe { self.portable.pop::<G>(class) },
        }
    }

    #[inline]
    unsafe fn push_otherwise<G: Geometry>(&self, class: SizeClass, block: Block) -> Result<(), Block> {
        match self.rseq.area() {
            Some(_) => Err(block),
            // SAFETY: the caller's promise.
            None => unsafe { self.portable.push::<G>(class, block) },
        }
    }

    unsafe fn pop_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks, most: usize) {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.pop_many::<G>(area, class, blocks, most) },
            // SAFETY: the caller's promise.
            None => unsafe { self.portable.pop_many::<G>(class, blocks, most) },
        }
    }

    unsafe fn push_many<G: Geometry>(&self, class: SizeClass, blocks: &mut Blocks) {
        match self.rseq.area() {
            // SAFETY: the caller's promise.
            Some(area) => unsafe { self.rseq.push_many::<G>(area, class, blocks) },
            // SAFETY: the caller's promise.
            None => unsafe { self.portable.push_many::<G>(class, blocks) },
        }
    }

    unsafe fn alone_on<G: Geometry, R>(&self, core: usize, work: impl FnOnce(&CoreHeap<G>) -> R) -> Option<R> {
        match self.kind() {
            // SAFETY: the caller's promise.
            CoresKind::Rseq => unsafe { self.rseq.alone_on(core, work) },
            // SAFETY: the caller's promise.
            CoresKind::Portable => unsafe { self.portable.alone_on(core, work) },
        }
    }
}

/// Whether the environment has `COREHEAP_CORES=portable`. The C library's `getenv` would do; this needs no lock and no memory.
fn environment_says_portable() -> bool {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    if cfg!(miri) {
        return true;
    }
    // SAFETY: the C library's list: null, or pointers to strings up to a null pointer.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if CStr::from_ptr(*entry) == c"COREHEAP_CORES=portable" {
                return true;
            }
            entry = entry.add(1);
        }
    }
    false
}
