//! Where in memory a source's regions lie, if the user has a wish: in large pages, on a NUMA node.
//!
//! *Role*: the part of [`Mmap`]'s interface that says so; `system` is how Linux does it. Elsewhere there are no large pages to be had this
//! way, and no nodes.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use libc::c_int;

use super::{FULL_ACCESS, Mmap, map};
use crate::system::errno::Errno;
use crate::system::os_page::UNIT;
use crate::system::process::variable_is;

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        #[path = "placement/linux.rs"]
        pub mod system;
    } else {
        #[path = "placement/none.rs"]
        pub mod system;
    }
}

/// The size of large pages: memory that the machine's user has the system keep apart for them.
///
/// How many there are is in `/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages` and `…/hugepages-1048576kB/nr_hugepages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargePage {
    // Behind 0, which is `None`: a heap's value is all zero at first.
    /// 2 MiB.
    Mib2 = 1,
    /// 1 GiB.
    Gib1,
}

impl LargePage {
    /// How big they are, in bytes.
    pub const fn size(self) -> usize {
        match self {
            LargePage::Mib2 => 2 << 20,
            LargePage::Gib1 => 1 << 30,
        }
    }

    /// What the environment variable `COREHEAP_PAGES` asks for.
    fn asked_for() -> Option<Self> {
        [("2M", LargePage::Mib2), ("1G", LargePage::Gib1)]
            .into_iter()
            .find_map(|(value, page)| variable_is("COREHEAP_PAGES", value).then_some(page))
    }
}

/// Why memory does not come from the node that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// There is no such node, it has no memory, or this process may not use it (`cpuset`).
    NoSuchNode,
    /// The system refuses to choose nodes for this process, as in a sandbox, or knows none.
    Refused,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeError::NoSuchNode => "no such NUMA node for this process",
            NodeError::Refused => "the system does not let this process choose NUMA nodes",
        })
    }
}

impl core::error::Error for NodeError {}

/// How much memory is reserved, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// In large pages.
    pub in_large_pages: usize,
    /// In usual ones: all of it where none were asked for, else what there were no large pages for.
    pub in_usual_pages: usize,
}

/// What the user wishes.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    large_page: Option<LargePage>,
    node: Option<Node>,
}

/// A NUMA node, and how: `MPOL_BIND` or `MPOL_PREFERRED`.
#[derive(Clone, Copy, Debug)]
struct Node {
    number: usize,
    policy: c_int,
}

impl Placement {
    /// No wish.
    pub const ANYWHERE: Self = Placement { large_page: None, node: None };

    /// The large pages to ask for, by the user's word or else the environment's.
    pub fn large_page(&self) -> Option<LargePage> {
        self.large_page.or_else(LargePage::asked_for)
    }

    /// Has memory come from the node, once it is touched. Refuses where no other node would do.
    pub fn apply(&self, start: *mut libc::c_void, size: usize) -> Result<(), NodeError> {
        let Some(node) = self.node else { return Ok(()) };
        let applied = system::set_policy(start, size, node.policy, node.number);
        if node.policy == system::MPOL_PREFERRED { Ok(()) } else { applied }
    }
}

/// Where memory comes from; see the table of [`Mmap`].
impl Mmap {
    /// Memory in large pages, as long as there are some.
    ///
    /// All of a region is there when it is reserved, 64 MiB at a time in steps of the page's size, and goes back only with the heap; it
    /// is never paged out. Costs the time to clear it (20 to 30 ms for 64 MiB). What finds no large pages later lies in usual ones,
    /// and goes back only with the heap as well; where there are none at the first request, this is [`Mmap::new`]. `Mmap::new` does the same
    /// where the environment variable `COREHEAP_PAGES` is `2M` or `1G`.
    ///
    /// The child of a `fork` needs large pages of its own for what it or its parent writes to: where there are none, Linux ends the child
    /// (`SIGBUS`). Have enough of them, or none, for programs whose children do more than call `exec`.
    pub const fn large(page: LargePage) -> Self {
        Mmap { placement: Placement { large_page: Some(page), node: None }, ..Self::new() }
    }

    /// Memory from this NUMA node only. Where that is refused (see [`check_node`](Self::check_node)) no region is had, and allocations
    /// fail; where the node is full, the system ends a process, as it does when all memory is full.
    ///
    /// A system call for each region, in strict mode also for each decommit. For a heap on each node make a heap for each, with a source
    /// on its node.
    pub const fn on_node(self, node: usize) -> Self {
        self.with_node(Node { number: node, policy: system::MPOL_BIND })
    }

    /// Memory from this NUMA node if it has some free, else from others; anywhere if the system refuses.
    pub const fn near_node(self, node: usize) -> Self {
        self.with_node(Node { number: node, policy: system::MPOL_PREFERRED })
    }

    const fn with_node(self, node: Node) -> Self {
        Mmap { placement: Placement { large_page: self.placement.large_page, node: Some(node) }, ..self }
    }

    /// Whether memory can come from the node that was asked for, and if not, why.
    pub fn check_node(&self) -> Result<(), NodeError> {
        let _errno = Errno::keep();
        let Some(node) = self.placement.node else { return Ok(()) };
        let page = map(core::ptr::null_mut(), UNIT, FULL_ACCESS).ok_or(NodeError::Refused)?.as_ptr().cast();
        let answer = system::set_policy(page, UNIT, node.policy, node.number);
        // SAFETY: mapped above, and used by nobody.
        unsafe { libc::munmap(page, UNIT) };
        answer
    }

    /// How much memory is reserved, and in what pages. In large pages all that ever was.
    pub fn reserved(&self) -> Reserved {
        let [in_large_pages, in_usual_pages] = [&self.in_large_pages, &self.in_usual_pages].map(|bytes| bytes.load(Relaxed));
        Reserved { in_large_pages, in_usual_pages }
    }
}
