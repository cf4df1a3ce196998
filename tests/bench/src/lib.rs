//! What the benchmarks share: the allocators ([`subject`], [`peers`]), what is done to them ([`patterns`], [`workloads`]) and the
//! arithmetic on the results ([`numbers`]).

pub mod numbers;
pub mod patterns;
pub mod peers;
pub mod subject;
pub mod workloads;
