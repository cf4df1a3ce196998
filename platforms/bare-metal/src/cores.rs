//! Magazines for each core of a kernel.

use coreheap::port::Swap;
use coreheap::{Heap, TryFlag};

#[cfg(feature = "critical-section")]
use coreheap::CoreNumber;

/// How often a context waits for another one on its core: a moment only, because it may have interrupted the one that it waits for.
const OWN_CORE_TRIES: usize = 100;

/// A heap for `CORES` cores with magazines for each, by your [`CoreNumber`](coreheap::CoreNumber): `CoresHeap::new(source, Pinned::new())`.
pub type CoresHeap<S, N, const CORES: usize, G> = Heap<S, Pinned<N, CORES>, G>;

/// A core heap for each of `CORES` cores. Any context may use it: an interrupt that finds its core's heap in use, because it interrupted a pop
/// or push, takes the next one's, or goes to the page bitmaps.
pub type Pinned<N, const CORES: usize> = TryFlag<N, CORES, Swap<OWN_CORE_TRIES>>;

/// One core, with interrupts masked by the `critical-section` crate.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
pub struct MaskedCore;

#[cfg(feature = "critical-section")]
impl CoreNumber for MaskedCore {
    fn core_number() -> usize {
        0
    }

    #[inline(always)]
    fn pinned<R>(work: impl FnOnce() -> R) -> R {
        critical_section::with(|_| work())
    }
}
