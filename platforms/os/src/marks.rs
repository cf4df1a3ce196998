//! [`MarkedCores`]: many cores, any context, on any system: a mark on each core heap.
//!
//! *Role*: what [`HostCores`](crate::HostCores) uses where there is nothing better: one atomic operation for each pop or push. It is the core
//! crate's [`TryFlag`] with a mark that a `fork` cannot leave behind, a [`Holder`].

use coreheap::{CoreNumber, TryFlag};

use crate::holder::Holder;
use crate::system;

/// So many core heaps; more cores than that share them.
pub type MarkedCores = TryFlag<HostCore, 64, Holder>;

/// The core that the system runs a thread on: a hint.
#[derive(Debug)]
pub enum HostCore {}

impl CoreNumber for HostCore {
    #[inline(always)]
    fn core_number() -> usize {
        system::core_number()
    }
}
