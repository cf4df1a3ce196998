//! No large pages and no nodes.

use core::ffi::c_void;

use coreheap::{Region, RegionRequest};
use libc::c_int;

use super::{LargePage, NodeError, Placement};

pub const MPOL_PREFERRED: c_int = 1;
pub const MPOL_BIND: c_int = 2;

/// There are none.
pub fn large_region(_: &RegionRequest, _: LargePage, _: &Placement) -> Option<Region> {
    None
}

/// The system decides.
pub fn set_policy(_: *mut c_void, _: usize, _: c_int, _: usize) -> Result<(), NodeError> {
    Err(NodeError::Refused)
}
